"""Times multilevel RoIAlign, 512 RoIs of one 800 x 1344 image on P2 to P5, beside torchvision's kernel.

  python scripts/bench_roi_align.py [--rois 512] [--images 1] [--channels 256] [--size 7]

Prints milliseconds forward, and forward with backward, for each form, and the ratio to torchvision if it is installed:
its CPU kernel, called level by level as in Detectron2, with the same number of threads. RoIs have the sizes of
proposals: log-uniform sides between 16 and 600 pixels, with aspect ratios up to about three.
"""

import argparse
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.benchmark.timing import milliseconds
from jaxdet.ops import roi_align, roi_align_gather, roi_align_matmul, roi_align_window
from jaxdet.ops.roi_levels import roi_levels

CANVAS = (800, 1344)
LEVELS = (2, 3, 4, 5)


def random_rois(rng, images, count):
  height, width = CANVAS
  side = np.exp(rng.uniform(np.log(16), np.log(600), (images, count)))
  aspect = np.exp(rng.normal(0, 0.5, (images, count)))
  half = np.stack([side * np.sqrt(aspect), side / np.sqrt(aspect)], axis=-1) / 2
  center = rng.uniform(0, 1, (images, count, 2)) * (width, height)
  limit = np.array([width, height, width, height])
  return np.clip(np.concatenate([center - half, center + half], axis=-1), 0, limit).astype(np.float32)


def time_form(form, features, rois, size):
  roi_align._form = form
  features = {l: jnp.asarray(f) for l, f in features.items()}

  def pool(features, rois):
    return roi_align.multilevel_roi_align(features, rois, output_size=size)

  forward = jax.jit(pool)
  both = jax.jit(lambda f, r, g: jax.vjp(lambda f: pool(f, r), f)[1](g) + (pool(f, r),))
  cotangents = jnp.ones_like(forward(features, rois))
  return (
    milliseconds(lambda: forward(features, rois)),
    milliseconds(lambda: both(features, rois, cotangents)),
  )


def time_torchvision(features, rois, size):
  import torch
  import torchvision

  features = {l: torch.from_numpy(f.transpose(0, 3, 1, 2).copy()).requires_grad_() for l, f in features.items()}
  levels = np.asarray(roi_levels(rois, min_level=LEVELS[0], max_level=LEVELS[-1])).reshape(-1)
  flat = np.concatenate([np.repeat(np.arange(len(rois)), rois.shape[1])[:, None], rois.reshape(-1, 4)], axis=1)
  flat = torch.from_numpy(flat.astype(np.float32))
  rows = {l: torch.from_numpy(np.flatnonzero(levels == l)) for l in LEVELS}
  channels = features[LEVELS[0]].shape[1]

  def pool():
    out = torch.zeros(len(flat), channels, size, size)
    for l in LEVELS:
      pooled = torchvision.ops.roi_align(features[l], flat[rows[l]], size, 1 / 2**l, 0, True)
      out = out.index_put((rows[l],), pooled)
    return out

  def forward():
    with torch.no_grad():
      pool()

  cotangents = torch.ones(len(flat), channels, size, size)
  return milliseconds(forward), milliseconds(lambda: torch.autograd.grad(pool(), list(features.values()), cotangents))


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--rois', type=int, default=512, help='RoIs an image')
  parser.add_argument('--images', type=int, default=1)
  parser.add_argument('--channels', type=int, default=256)
  parser.add_argument('--size', type=int, default=7, help='bins a side')
  args = parser.parse_args()

  rng = np.random.default_rng(0)
  rois = random_rois(rng, args.images, args.rois)
  shapes = {l: (args.images, CANVAS[0] // 2**l, CANVAS[1] // 2**l, args.channels) for l in LEVELS}
  features = {l: rng.standard_normal(shape, np.float32) for l, shape in shapes.items()}

  forms = {'matmul': roi_align_matmul, 'gather': roi_align_gather}
  rows = {name: time_form(form, features, rois, args.size) for name, form in forms.items()}
  if jax.default_backend() == 'cpu':
    rows['window'] = time_form(roi_align_window, features, rois, args.size)
  if importlib.util.find_spec('torchvision'):
    rows['torchvision'] = time_torchvision(features, rois, args.size)
  reference = rows.get('torchvision')
  print(f'{"ms (times torchvision)":24s}{"forward":>18s}{"with backward":>18s}')
  for name, row in rows.items():
    cells = [f'{t:.0f}' + (f' ({t / r:.2f})' if reference else '') for t, r in zip(row, reference or row, strict=True)]
    print(f'{name:24s}{cells[0]:>18s}{cells[1]:>18s}')


if __name__ == '__main__':
  main()
