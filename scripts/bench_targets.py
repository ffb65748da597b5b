"""Times the top-k of proposals and mask targets of RoIs, beside torch's and torchvision's.

  python scripts/bench_targets.py

Proposals: the best 2000 of each of five levels of an 800 x 1344 image, 3 anchors per cell; by top-k, by sorting, and by
`torch.topk`. Mask targets: 28 x 28 cells of 128 RoIs of one image with 13 objects; from bits over a window around the
object, from polygons of 64 vertices, and torchvision's from bitmaps of the whole image. Prints milliseconds, the
fastest of a few calls.
"""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.benchmark.timing import milliseconds
from jaxdet.ops.masks import crop_masks, unpack_masks
from jaxdet.ops.polygon_targets import crop_polygons

ANCHORS = [3 * (800 // 2**level) * (1344 // 2**level) for level in range(2, 7)]
BEST = 2000
HEIGHT, WIDTH, OBJECTS, REGIONS = 800, 1344, 13, 128
CELLS, VERTICES, SIZE = 112, 64, 28  # of a bitmap's side, of an outline, of a target's side


def main() -> None:
  has_torch = importlib.util.find_spec('torchvision') is not None
  times = proposals(has_torch) | mask_targets(has_torch)
  for name, value in times.items():
    print(f'{name:40}{value:10.2f}')


def proposals(has_torch: bool) -> dict[str, float]:
  rng = np.random.default_rng(0)
  logits = [rng.normal(size=count).astype(np.float32) for count in ANCHORS]
  limits = [min(BEST, count) for count in ANCHORS]

  def by_top_k(logits):
    return [jax.lax.top_k(x, limit) for x, limit in zip(logits, limits, strict=True)]

  def by_sorting(logits):
    pairs = [jax.lax.sort_key_val(-x, jnp.arange(len(x))) for x in logits]
    return [(-values[:limit], index[:limit]) for (values, index), limit in zip(pairs, limits, strict=True)]

  arrays = jax.device_put(logits)
  times = {}
  for name, function in (('top_k', by_top_k), ('sorting', by_sorting)):
    function = jax.jit(function)
    times[f'proposals, {name}'] = milliseconds(lambda function=function: function(arrays))
  if has_torch:
    import torch

    tensors = [torch.from_numpy(x) for x in logits]
    times['proposals, torch'] = milliseconds(lambda: [x.topk(n) for x, n in zip(tensors, limits, strict=True)])
  return times


def mask_targets(has_torch: bool) -> dict[str, float]:
  rng = np.random.default_rng(0)
  middle, half = rng.uniform(0.2, 0.8, (OBJECTS, 2)) * (WIDTH, HEIGHT), rng.uniform(20, 150, (OBJECTS, 2))
  windows = np.concatenate([middle - half, middle + half], 1).astype(np.float32)
  owner = rng.integers(0, OBJECTS, REGIONS)
  boxes = (windows[owner] + rng.normal(size=(REGIONS, 4)) * 5).astype(np.float32)
  # Ellipses inscribed in their windows.
  angles = np.linspace(0, 2 * np.pi, VERTICES)
  outlines = middle[:, None] + half[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
  cells = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1
  disc = np.hypot(cells[:, None], cells) <= 1
  bits = np.broadcast_to(np.packbits(disc, axis=-1), (OBJECTS, CELLS, CELLS // 8))

  def from_bits(bits, windows, owner, boxes):
    return crop_masks(unpack_masks(bits)[owner], windows[owner], boxes, (HEIGHT, WIDTH), SIZE)

  def from_outlines(outlines, owner, boxes):
    return crop_polygons(outlines[owner], jnp.zeros((REGIONS, VERTICES), jnp.int32), boxes, SIZE)

  by_bits, by_outlines = jax.jit(from_bits), jax.jit(from_outlines)
  of_bits = jax.device_put((bits, windows, owner, boxes))
  of_outlines = jax.device_put((outlines.astype(np.float32), owner, boxes))
  times = {
    'mask targets, bits': milliseconds(lambda: by_bits(*of_bits)),
    'mask targets, outlines': milliseconds(lambda: by_outlines(*of_outlines)),
  }
  if has_torch:
    import torch
    from torchvision.models.detection.roi_heads import project_masks_on_boxes

    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    away = [np.hypot((x - cx) / rx, (y - cy) / ry) for (cx, cy), (rx, ry) in zip(middle, half, strict=True)]
    of_torch = [torch.from_numpy(a) for a in (np.stack(away) <= 1, boxes, owner)]
    times['mask targets, torchvision'] = milliseconds(lambda: project_masks_on_boxes(*of_torch, SIZE))
  return times


if __name__ == '__main__':
  main()
