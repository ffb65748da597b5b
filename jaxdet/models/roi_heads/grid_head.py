"""Grid head: heat maps of grid points from pooled RoI features (Grid R-CNN, Lu et al., 2019; Grid R-CNN Plus, 2019)."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import Conv, he_normal
from jaxdet.models.layers.deconv import GroupedDeconv
from jaxdet.models.layers.norm import GroupNorm
from jaxdet.ops.conv import conv2d

RARE = -float(np.log(0.99 / 0.01))  # logit of 0.01, the initial probability of a point


class GridHead(nn.Module):
  """Predicts a heat map for every point of a grid over the RoI, from its own channels and those of its neighbours.

  Submodules: convolutions `conv0`, ... with group norms, the first of stride 2; fusion of first and second order,
  `first` and `second`; transposed convolutions `deconv0` and `deconv1` with one group per point. Points are numbered
  column by column, as upstream.
  """

  num_convs: int
  point_channels: int  # C, per point
  grid_size: int  # points per side of the grid; P is its square
  norm_groups: int  # of the convolutions' norms
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, roi_features: Float[Array, 'B R S S D'], *, train: bool = False
  ) -> Float[Array, 'B R F 2*S 2*S P']:
    """Logits in float32; F is 1, or 2 in training, where the loss also needs the logits without fusion."""
    regions, points = roi_features.shape[:2], self.grid_size**2
    if (size := roi_features.shape[2]) % 2:
      raise ValueError(f'roi.grid_head.roi_size must be even, for heat maps of twice the side, and is {size}')
    channels = points * self.point_channels
    x = roi_features.reshape(-1, *roi_features.shape[2:])
    for i in range(self.num_convs):
      x = Conv(channels, stride=1 if i else 2, dtype=self.dtype, name=f'conv{i}')(x)
      x = nn.relu(GroupNorm(self.norm_groups, dtype=self.dtype, name=f'conv{i}_norm')(x))
    first_order = x + Fusion(self.grid_size, dtype=self.dtype, name='first')(x)
    fused = x + Fusion(self.grid_size, dtype=self.dtype, name='second')(first_order)
    forms = jnp.stack([fused, x] if train else [fused], 1)
    x = forms.reshape(-1, *x.shape[1:])
    x = GroupedDeconv(channels, points, dtype=self.dtype, name='deconv0')(x)
    x = nn.relu(GroupNorm(points, dtype=self.dtype, name='deconv0_norm')(x))
    # In float32: a point is the argmax of its map, and bfloat16 would make neighbouring logits equal.
    rare, wide = nn.initializers.constant(RARE), jnp.promote_types(self.dtype, jnp.float32)
    maps = GroupedDeconv(points, points, bias_init=rare, dtype=wide, name='deconv1')(x)
    return maps.reshape(*regions, -1, *maps.shape[1:])


class Fusion(nn.Module):
  """Sums the features of a point's neighbours, each after its own transition.

  `from<i>_<j>` is the transition of neighbour number j of point i. All run as groups of one convolution.
  """

  grid_size: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'N H W P*C']) -> Float[Array, 'N H W P*C']:
    grid = neighbours(self.grid_size)
    channels = x.shape[-1] // len(grid)
    maps = x.reshape(*x.shape[:-1], len(grid), channels)
    edges = [(i, j, source) for i, sources in enumerate(grid) for j, source in enumerate(sources)]
    kernels, biases = zip(*[Transition(channels, name=f'from{i}_{j}')() for i, j, _ in edges], strict=True)
    sources = maps[..., [source for *_, source in edges], :].reshape(*x.shape[:-1], -1)
    kernel = jnp.concatenate(kernels, -1).astype(self.dtype)
    found = conv2d(sources.astype(self.dtype), kernel, groups=len(edges))
    found = found.reshape(*x.shape[:-1], len(edges), channels) + jnp.stack(biases).astype(self.dtype)
    return jnp.zeros_like(maps).at[..., [i for i, *_ in edges], :].add(found).reshape(x.shape)


class Transition(nn.Module):
  """A 5 x 5 depthwise convolution `depthwise` and a 1 x 1 one `pointwise`, as one kernel and bias.

  There is no activation between them, so together they are a single 5 x 5 convolution.
  """

  channels: int

  @nn.compact
  def __call__(self) -> tuple[Float[Array, '5 5 C C'], Float[Array, 'C']]:
    each, each_bias = Weights((5, 5, 1, self.channels), name='depthwise')()
    mixed, mixed_bias = Weights((1, 1, self.channels, self.channels), name='pointwise')()
    return each[..., 0, :, None] * mixed, (each_bias[:, None] * mixed[0, 0]).sum(0) + mixed_bias


class Weights(nn.Module):
  """Kernel and bias of a convolution."""

  shape: tuple[int, int, int, int]

  @nn.compact
  def __call__(self) -> tuple[Float[Array, 'S S I O'], Float[Array, 'O']]:
    kernel = self.param('kernel', he_normal, self.shape, jnp.float32)
    return kernel, self.param('bias', nn.initializers.zeros, self.shape[-1:], jnp.float32)


def neighbours(grid_size: int) -> list[list[int]]:
  """Neighbours of each point on the grid: left, above, below, right, where they exist."""
  grid = np.pad(np.arange(grid_size**2).reshape(grid_size, grid_size), 1, constant_values=-1)  # [column, row]
  beside = np.stack([grid[:-2, 1:-1], grid[1:-1, :-2], grid[1:-1, 2:], grid[2:, 1:-1]], -1).reshape(-1, 4)
  return [[int(point) for point in points if point >= 0] for points in beside]
