"""The 3 x 3 convolution of residual blocks by name: a plain one, or in some stages another layer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdet.models.layers.deformable_conv import DeformableConv
from jaxdet.parts import find

MakeLayer = Callable[..., nn.Module]  # of (features, size, stride, groups, dilation), as `Conv`


def spatial_conv(settings: Mapping[str, Any], level: int, plain: MakeLayer, dtype: jnp.dtype) -> MakeLayer:
  """Chooses the layer of a stage.

  Args:
    settings: `name` of SPATIAL_CONVS; unless it is 'plain', also `levels`, the stages that have it, by the level of
      their result, and the layer's own settings.
    level: of the stage's result.
    plain: makes the plain convolution.
    dtype: of the operands.

  Raises:
    ValueError: for an unknown name; says the nearest.
  """
  make = find(SPATIAL_CONVS, settings['name'], 'conv3x3.name')
  own = {key: value for key, value in settings.items() if key not in ('name', 'levels')}
  return make(plain, dtype, **own) if level in settings.get('levels', (level,)) else plain


def plain_conv(plain: MakeLayer, dtype: jnp.dtype) -> MakeLayer:
  """The plain convolution."""
  return plain


def deformable_conv(plain: MakeLayer, dtype: jnp.dtype, version: str, offset_groups: int) -> MakeLayer:
  """A deformable convolution; see `DeformableConv`."""
  return partial(DeformableConv, version, offset_groups, dtype=dtype)


SPATIAL_CONVS: dict[str, Callable[..., MakeLayer]] = {'plain': plain_conv, 'deformable': deformable_conv}
