"""Feature pyramid network (Lin et al., 2017)."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import caffe2_xavier
from jaxdet.models.layers.conv_norm import conv_norm
from jaxdet.models.layers.upsample import upsample_bilinear, upsample_nearest
from jaxdet.parts import find


class FPN(nn.Module):
  """Top-down pyramid: upsampled levels added to lateral 1 x 1 convolutions, all with the same channels.

  Levels above the backbone's last come from `extra`:

  - 'pool': every second pixel of the level below, as in upstream's Faster R-CNN.
  - 'input': a sequence of 3 x 3 convolutions of stride 2 on the backbone's last map (RetinaNet; mmdetection's
    `on_input`, Detectron2's LastLevelP6P7 from res5).
  - 'output': the same convolutions on the pyramid's last map (FCOS; `on_output`, LastLevelP6P7 from p5).

  Submodules are `lateral<level>` and `output<level>`, with a norm `lateral<level>_norm` and so on.

  Raises:
    ValueError: `extra` or `upsample` is unknown.
  """

  levels: tuple[int, ...]
  channels: int
  norm: str = ''  # '': none, with biases; else a kind of layers/norm.py
  extra: str = 'pool'
  extra_relu: bool = False  # ReLU before every extra convolution except the first
  upsample: str = 'nearest'  # or 'bilinear'
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ _']], *, train: bool = False
  ) -> dict[int, Float[Array, 'B _ _ C']]:
    conv = partial(
      conv_norm, features=self.channels, norm=self.norm, train=train, kernel_init=caffe2_xavier, dtype=self.dtype
    )
    if self.extra not in ('pool', 'input', 'output'):
      raise ValueError(f"unknown extra levels '{self.extra}' of a pyramid: choose 'pool', 'input' or 'output'")
    upsample = find(UPSAMPLE, self.upsample, 'neck.upsample')
    inner = [level for level in self.levels if level in features]
    pyramid, above = {}, None
    for level in sorted(inner, reverse=True):
      x = conv(features[level], size=1, name=f'lateral{level}')
      above = x if above is None else x + upsample(above, x.shape[1:3])
      pyramid[level] = conv(above, name=f'output{level}')
    pyramid = self.refine(pyramid, conv)
    x = features[max(inner)] if self.extra == 'input' else pyramid[max(inner)]
    for level in sorted(set(self.levels) - set(inner)):
      if self.extra == 'pool':
        x = x[:, ::2, ::2]
      else:
        x = nn.relu(x) if self.extra_relu and level > max(inner) + 1 else x
        x = conv(x, stride=2, name=f'output{level}')
      pyramid[level] = x
    return {level: pyramid[level] for level in self.levels}

  def refine(
    self, pyramid: dict[int, Float[Array, 'B _ _ C']], conv: Callable[..., Array]
  ) -> dict[int, Float[Array, 'B _ _ C']]:
    """Further layers of the backbone's levels, before the extra levels; here none.

    Args:
      pyramid: levels by number.
      conv: 3 x 3 convolution with the pyramid's channels and norm; its arguments are a map, `stride` and `name`.
    """
    return pyramid


UPSAMPLE = {'nearest': upsample_nearest, 'bilinear': upsample_bilinear}
