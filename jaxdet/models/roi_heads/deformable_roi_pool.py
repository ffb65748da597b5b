"""Deformable RoI pooling layer with learned offsets (Dai et al., 2017) and weights (Zhu et al., 2019).

The layer is mmcv's DeformRoIPoolPack and its modulated form, one for each level of the pyramid as in mmdetection.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import at_least_float32, torch_uniform
from jaxdet.ops.deformable_roi_pool import deformable_roi_pool
from jaxdet.ops.roi_align import multilevel_roi_align
from jaxdet.ops.roi_levels import pyramid_levels, roi_levels

OFFSET_SCALE = 0.1  # an output of 1 moves a bin by this share of the RoI's height or width


class DeformableRoIPool(nn.Module):
  """Pools size x size bins of every RoI, moved by offsets that linear layers predict from the unmoved bins.

  The layers of level l are `offset<l>_fc0` to `offset<l>_fc2`, with (x, y) of all bins, x first; with version 'v2' also
  `weight<l>_fc0` and `weight<l>_fc1`, one logit per bin, whose sigmoid multiplies the bin. Last layers are initialised
  with zeros.

  Raises:
    ValueError: for an unknown version.
  """

  version: str  # 'v1' or 'v2'
  size: int
  sampling_ratio: int = 0
  canonical_size: float = 224  # of `roi_levels`
  canonical_level: int = 4
  channels: int = 1024  # of the hidden layers
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, features: dict[int, Float[Array, 'B _ _ C']], boxes: Float[Array, 'B R 4'], *, train: bool = False
  ) -> Float[Array, 'B R S S C']:
    del train  # there is no norm
    if self.version not in ('v1', 'v2'):
      raise ValueError(f"unknown deformable pooling '{self.version}': choose v1 or v2")
    size, levels = self.size, pyramid_levels(features)
    canonical = {'canonical_size': self.canonical_size, 'canonical_level': self.canonical_level}
    level_of_box = roi_levels(boxes, min_level=levels[0], max_level=levels[-1], **canonical)
    settings = {'sampling_ratio': self.sampling_ratio, **canonical}
    x = multilevel_roi_align(features, boxes, output_size=size, **settings)
    x = x.reshape(*boxes.shape[:2], -1)

    def of_level(name: str, hidden: int, outputs: int) -> Float[Array, 'B R O']:
      # Every RoI passes through the layers of every level: with static shapes the RoIs of a level are not known.
      total = 0.0
      for level in levels:
        y = self._layers(x, f'{name}{level}', hidden, outputs)
        total += jnp.where((level_of_box == level)[..., None], y, 0.0)
      return total

    offsets = of_level('offset', 2, 2 * size**2).reshape(*boxes.shape[:2], 2, size, size)
    offsets = jnp.moveaxis(offsets, 2, -1)[..., ::-1]
    pooled = deformable_roi_pool(features, boxes, OFFSET_SCALE * offsets, **settings)
    if self.version == 'v1':
      return pooled
    weights = nn.sigmoid(of_level('weight', 1, size**2)).reshape(*boxes.shape[:2], size, size, 1)
    return (pooled * weights).astype(pooled.dtype)

  def _layers(self, x: Float[Array, 'B R I'], name: str, hidden: int, outputs: int) -> Float[Array, 'B R O']:
    for i in range(hidden):
      x = nn.relu(nn.Dense(self.channels, kernel_init=torch_uniform, dtype=self.dtype, name=f'{name}_fc{i}')(x))
    return nn.Dense(outputs, kernel_init=nn.initializers.zeros, name=f'{name}_fc{hidden}')(at_least_float32(x))
