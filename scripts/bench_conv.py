"""Times convolutions forward and backward: the CPU forms of `ops/conv.py` beside XLA's own.

  python scripts/bench_conv.py

One line per shape, in milliseconds; the fastest of a few calls.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.benchmark.timing import milliseconds
from jaxdet.ops import conv

SHAPES = {  # (input, size of the kernel, outputs, groups)
  'P2 of 800 x 1344': ((1, 200, 336, 256), 3, 256, 1),
  'P2 of 512 x 512': ((1, 128, 128, 256), 3, 256, 1),
  'mask head, 64 regions': ((64, 14, 14, 256), 3, 256, 1),
  'ResNet, third stage': ((1, 64, 64, 128), 3, 128, 1),
  'ResNet, second stage, 1 x 1': ((1, 200, 336, 64), 1, 256, 1),
  'P2, lateral, 1 x 1': ((1, 200, 336, 256), 1, 256, 1),
  'ResNeXt 32x8d, second stage': ((1, 128, 128, 256), 3, 256, 32),
  'ResNeXt 32x8d, fourth stage': ((1, 32, 32, 1024), 3, 1024, 32),
}


def main() -> None:
  rng = np.random.default_rng(0)
  print(f'{"":28} {"forward":>20} {"backward":>20}')
  for name, (shape, size, features, groups) in SHAPES.items():
    x = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(size, size, shape[-1] // groups, features)).astype(np.float32)
    gradient = rng.normal(size=(*shape[:-1], features)).astype(np.float32)
    if size == 1:
      kernel = kernel[0, 0]
      xla, ours = jnp.matmul, partial(conv.pointwise, dtype=jnp.float32)
    else:
      geometry = conv.Geometry(stride=1, dilation=1, groups=groups, mesh=None)
      xla, ours = partial(conv._xla, geometry=geometry), partial(conv.conv2d, groups=groups)
    x, kernel, gradient = jax.device_put((x, kernel, gradient))
    times = []
    for form in (xla, ours):
      forward = milliseconds(partial(jax.jit(form), x, kernel))
      backward = jax.jit(lambda x, kernel, gradient, form=form: jax.vjp(form, x, kernel)[1](gradient))
      times.append((forward, milliseconds(partial(backward, x, kernel, gradient))))
    (forward, backward), (our_forward, our_backward) = times
    print(f'{name:28} {forward:9.1f} {our_forward:10.1f} {backward:9.1f} {our_backward:10.1f}', flush=True)


if __name__ == '__main__':
  main()
