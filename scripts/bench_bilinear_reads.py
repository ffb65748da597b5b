"""Times deformable attention and convolution with each form of bilinear reads, beside torch's and torchvision's.

  python scripts/bench_bilinear_reads.py

Attention: an encoder layer on levels of 64, 32, 16 and 8 cells a side, 8 heads of 32 channels, 4 points per level, each
a few cells from its query; compared with `grid_sample`, which mmcv uses without a GPU. Convolution: version 2, 3 x 3,
128 channels at 64 x 64; compared with `torchvision.ops.deform_conv2d`. Prints milliseconds forward, and forward with
backward: the fastest of a few calls.
"""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.benchmark.timing import milliseconds
from jaxdet.ops import bilinear_reads
from jaxdet.ops.deformable_attention import deformable_attention
from jaxdet.ops.deformable_conv import deformable_conv

SHAPES = ((64, 64), (32, 32), (16, 16), (8, 8))
HEADS, DEPTH, POINTS = 8, 32, 4
SIDE, CHANNELS = 64, 128


def main() -> None:
  has_torch = importlib.util.find_spec('torchvision') is not None
  cases = {
    'attention': (attend, attention_arguments(), torch_attention),
    'convolution': (deformable_conv, convolution_arguments(), torch_convolution),
  }
  print(f'{"ms":24}{"forward":>12}{"with backward":>16}')
  for case, (function, arguments, of_torch) in cases.items():
    times = {name: times_of(form, function, arguments) for name, form in bilinear_reads.FORMS.items()}
    if has_torch:
      times['torch'] = of_torch(*arguments)
    for name, (forward, both) in times.items():
      print(f'{f"{case}, {name}":24}{forward:12.1f}{both:16.1f}', flush=True)


def attend(values, locations, weights):
  return deformable_attention(values, SHAPES, locations, weights)


def attention_arguments() -> tuple[np.ndarray, ...]:
  """Draws values, locations and weights of one image; the queries are the cells of all levels."""
  rng = np.random.default_rng(0)
  queries = np.concatenate([centres(*shape) for shape in SHAPES])
  sides = np.array([[width, height] for height, width in SHAPES])[:, None]
  offsets = 2 * rng.normal(size=(1, len(queries), HEADS, len(SHAPES), POINTS, 2)) / sides
  values = rng.normal(size=(1, len(queries), HEADS, DEPTH))
  weights = rng.random((1, len(queries), HEADS, len(SHAPES), POINTS))
  locations = queries[:, None, None, None] + offsets
  return tuple(a.astype(np.float32) for a in (values, locations, weights))


def centres(height: int, width: int) -> np.ndarray:
  x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
  return np.stack([x, y], -1).reshape(-1, 2)


def convolution_arguments() -> tuple[np.ndarray, ...]:
  """Draws a map, a kernel, offsets of about a cell and modulation."""
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(1, SIDE, SIDE, CHANNELS)), rng.normal(size=(3, 3, CHANNELS, CHANNELS))
  offsets, modulation = rng.normal(size=(1, SIDE, SIDE, 1, 9, 2)), rng.random((1, SIDE, SIDE, 1, 9))
  return tuple(a.astype(np.float32) for a in (x, kernel, offsets, modulation))


def times_of(form, function, arguments) -> tuple[float, float]:
  bilinear_reads._form = form  # read while a function is traced
  arguments = jax.device_put(arguments)
  forward = jax.jit(lambda *a: function(*a))
  cotangents = jnp.ones_like(forward(*arguments))

  @jax.jit
  def both(cotangents, *arguments):
    out, backward = jax.vjp(function, *arguments)
    return out, backward(cotangents)

  return milliseconds(lambda: forward(*arguments)), milliseconds(lambda: both(cotangents, *arguments))


def torch_attention(values, locations, weights) -> tuple[float, float]:
  import torch
  from torch.nn.functional import grid_sample

  def attend(values, locations, weights):
    maps = values.split([height * width for height, width in SHAPES], 1)
    read = []
    for level, (feature, shape) in enumerate(zip(maps, SHAPES, strict=True)):
      feature = feature[0].permute(1, 2, 0).reshape(HEADS, DEPTH, *shape)
      grid = 2 * locations[0, :, :, level].transpose(0, 1) - 1  # [heads, queries, points, 2]
      sampled = grid_sample(feature, grid, align_corners=False)
      read.append((sampled * weights[0, :, :, level].transpose(0, 1)[:, None]).sum(-1))
    return sum(read)

  return torch_times(attend, [torch.from_numpy(a) for a in (values, locations, weights)])


def torch_convolution(x, kernel, offsets, modulation) -> tuple[float, float]:
  import torch
  from torchvision.ops import deform_conv2d

  def convolve(x, kernel, offsets, modulation):
    return deform_conv2d(x, offsets, kernel, padding=1, mask=modulation)

  offsets, modulation = offsets.reshape(1, SIDE, SIDE, -1), modulation.reshape(1, SIDE, SIDE, -1)
  first = [a.transpose(0, 3, 1, 2) for a in (x, offsets, modulation)]
  first.insert(1, kernel.transpose(3, 2, 0, 1))
  return torch_times(convolve, [torch.from_numpy(a.copy()) for a in first])


def torch_times(function, arguments) -> tuple[float, float]:
  import torch

  def forward():
    with torch.no_grad():
      function(*arguments)

  wanted = [a.requires_grad_() for a in arguments]
  return milliseconds(forward), milliseconds(lambda: torch.autograd.grad(function(*wanted).sum(), wanted))


if __name__ == '__main__':
  main()
