"""Mask targets from outlines: the cells that pycocotools draws, and Detectron2's recorded targets."""

import jax
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from jaxdet.ops.polygon_targets import crop_polygons
from parity_kit import case, recipe

SIZE = 28
crop = jax.jit(crop_polygons, static_argnames='size')


def drawn(polygons, box, size=SIZE):
  """What Detectron2 draws: polygons scaled to the box, by pycocotools, united."""
  sides = np.maximum(box[2:] - box[:2], 0.1).astype(np.float64)
  scaled = [((polygon.astype(np.float64) - box[:2]) * (size / sides)).ravel().tolist() for polygon in polygons]
  return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(scaled, size, size)))


def outline(polygons, length):
  """(vertices, parts) of one object."""
  rings = [np.concatenate([polygon, polygon[:1]]) for polygon in polygons]
  vertices, parts = np.zeros((length, 2), np.float32), np.full(length, -1, np.int32)
  count = sum(map(len, rings))
  vertices[:count] = np.concatenate(rings)
  parts[:count] = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
  return vertices, parts


def random_polygon(rng):
  corners = rng.integers(3, 16)
  angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
  radius = rng.uniform(2, 40) * rng.uniform(0.3, 1, corners)
  ring = rng.uniform(20, 80, 2) + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
  return ring.astype(np.float32)


def test_random_outlines_of_several_parts_are_drawn_cell_by_cell():
  rng = np.random.default_rng(0)
  objects = [[random_polygon(rng) for _ in range(rng.integers(1, 5))] for _ in range(150)]
  boxes = np.concatenate([rng.uniform(0, 40, (150, 2)), rng.uniform(50, 110, (150, 2))], -1).astype(np.float32)
  vertices, parts = zip(*(outline(polygons, 72) for polygons in objects), strict=True)
  targets = crop(np.stack(vertices), np.stack(parts), boxes, size=SIZE)
  wanted = np.stack([drawn(polygons, box) for polygons, box in zip(objects, boxes, strict=True)])
  assert wanted.mean() > 0.1
  np.testing.assert_array_equal(targets, wanted)


def test_overlapping_parts_are_united():
  square = np.array([[0, 0], [20, 0], [20, 20], [0, 20]], np.float32)
  vertices, parts = outline([square, square + 8], 12)
  box = np.array([0, 0, 28, 28], np.float32)
  target = np.asarray(crop(vertices[None], parts[None], box[None], size=SIZE))[0]
  assert target.sum() == 20 * 20 + 20 * 20 - 12 * 12


def test_degenerate_boxes_and_missing_outlines_are_harmless():
  square = np.array([[0, 0], [20, 0], [20, 20], [0, 20]], np.float32)
  vertices, parts = outline([square], 8)
  boxes = np.array([[5, 5, 5, 5], [0, 0, 1e-3, 30], [1e6, 0, 1e6 + 1, 1], [0, 0, 20, 20]], np.float32)
  absent = np.full_like(parts, -1)
  targets = np.asarray(crop(np.stack([vertices] * 4), np.stack([parts] * 3 + [absent]), boxes, size=SIZE))
  assert np.isfinite(targets).all() and not targets[3].any()


@pytest.mark.parametrize('size', [14, 28])
@pytest.mark.parametrize('image', [0, 1])
def test_detectron2(image, size):
  arrays, _ = case('ops/d2_mask_crop')
  polygons = recipe().ground_truth(image, 80)['polygons']
  objects = [[polygon] for polygon in polygons]
  objects[1].append(polygons[0] + [20, 10])
  vertices, parts = zip(*(outline([p.astype(np.float32) for p in rings], 40) for rings in objects), strict=True)
  boxes = arrays[f'boxes{image}']
  row = np.repeat(np.arange(len(objects)), 5)
  targets = crop(np.stack(vertices)[row], np.stack(parts)[row], boxes, size=size)
  wanted = np.unpackbits(arrays[f'poly{image}/{size}'])[: targets.size].reshape(targets.shape)
  assert wanted.any()
  np.testing.assert_array_equal(targets, wanted)
