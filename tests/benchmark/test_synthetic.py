"""Data for a benchmark."""

import numpy as np
import pytest

from jaxdet.benchmark.synthetic import SMALLEST, class_counts, dense_masks, synthetic_batch
from jaxdet.configuration import load_config
from small_detector import CONFIG

CANVAS = (96, 160)


@pytest.fixture(scope='module')
def config():
  config = load_config(f'{CONFIG}').unlock()
  config.model.num_classes = 40
  config.data.update(max_objects=12, mask_size=16, max_vertices=32)
  return config


def test_objects_lie_in_the_image_and_have_all_that_the_pipeline_gives_them(config):
  batch = synthetic_batch(config, images=3, canvas=CANVAS, objects=7)
  assert batch.image.shape == (3, *CANVAS, 3) and batch.image.dtype == np.uint8
  assert batch.objects.valid.sum(1).tolist() == [7, 7, 7]
  boxes = batch.objects.boxes[:, :7]
  assert (boxes >= 0).all() and (boxes[..., 2] <= 160).all() and (boxes[..., 3] <= 96).all()
  assert ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST * np.array([160, 96]) - 1e-3).all()
  assert (batch.objects.boxes[:, 7:] == 0).all() and (batch.objects.labels < 40).all()
  assert batch.objects.masks.bits.shape == (3, 12, 16, 2) and (batch.objects.masks.bits[:, 7:] == 0).all()
  assert batch.objects.masks.outline_parts.dtype == np.int8 and (batch.objects.masks.outline_parts[:, 7:] == -1).all()
  assert batch.proposals is None


def test_masks_bits_and_outlines_are_of_one_ellipse(config):
  batch = synthetic_batch(config, images=1, canvas=CANVAS, objects=1)
  x1, y1, x2, y2 = batch.objects.boxes[0, 0]
  area = np.pi / 4 * (x2 - x1) * (y2 - y1)
  assert dense_masks(batch.objects.boxes[0, :1], CANVAS).sum() == pytest.approx(area, rel=0.1)
  assert np.unpackbits(batch.objects.masks.bits[0, 0]).mean() == pytest.approx(np.pi / 4, rel=0.05)
  ring = batch.objects.masks.outlines[0, 0][batch.objects.masks.outline_parts[0, 0] == 0]
  assert len(ring) == 25 and (ring[0] == ring[-1]).all()
  (x, y), (next_x, next_y) = ring[:-1].T, ring[1:].T
  assert abs((x * next_y - next_x * y).sum()) / 2 == pytest.approx(area, rel=0.02)


def test_a_batch_is_a_function_of_its_arguments_and_may_have_proposals(config):
  batches = [synthetic_batch(config, 2, CANVAS, 3, proposals=50) for _ in range(2)]
  np.testing.assert_array_equal(batches[0].image, batches[1].image)
  assert batches[0].proposals.boxes.shape == (2, 50, 4) and batches[0].proposals.valid.all()


def test_class_counts_have_a_long_tail_and_no_empty_class():
  images = class_counts(1203)['images']
  assert images[0] == 20_000 and images[-1] == 1 and list(images) == sorted(images, reverse=True)


def test_a_semantic_task_gets_a_class_for_every_pixel(config):
  assert synthetic_batch(config, 2, CANVAS, 3).semantic is None
  config = config.copy_and_resolve_references()
  config.model.pyramid_tasks = {'semantic': {'num_classes': 5}}
  semantic = synthetic_batch(config, 2, CANVAS, 3).semantic
  assert semantic.shape == (2, *CANVAS) and semantic.dtype == np.int32 and set(np.unique(semantic)) == set(range(5))
