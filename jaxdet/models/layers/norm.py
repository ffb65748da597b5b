"""Normalisation layers by name: batch norm in three degrees of freezing, and group norm.

| name        | scale, bias | mean, var     | in training normalises by     | upstream                              |
|-------------|-------------|---------------|-------------------------------|---------------------------------------|
| `frozen_bn` | `constants` | `constants`   | the stored statistics         | Detectron2's FrozenBN                 |
| `bn_eval`   | `params`    | `constants`   | the stored statistics         | mmdetection's BN with `norm_eval`     |
| `sync_bn`   | `params`    | `batch_stats` | the statistics of the batch   | SyncBN in both                        |
| `gn`        | `params`    | none          | the statistics of the groups  | GN in both, 32 groups                 |
| `gn_ws`     | `params`    | none          | as `gn`                       | mmdetection's GN after `ConvWS`       |

The words in the table are variable collections. The convolution before a `gn_ws` has a standardised kernel, see
`standardizes`. Epsilon is 1e-5 everywhere, as in torch.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.conv import at_least_float32

EPSILON = 1e-5
MOMENTUM = 0.1  # torch's: the weight of the new value

AFFINE = {'frozen_bn': 'constants', 'bn_eval': 'params', 'sync_bn': 'params', 'gn': 'params', 'gn_ws': 'params'}
STATISTICS = {'frozen_bn': 'constants', 'bn_eval': 'constants', 'sync_bn': 'batch_stats'}

# Initial scale of the last norm of a residual branch if the statistics are constants. Until weights are loaded such a
# norm does not normalise, and every block with scale 1 would double the variance: 2**33 in ResNet-101.
RESIDUAL_SCALE = 0.2


def norm(
  kind: str, *, train: bool = False, ends_branch: bool = False, dtype: jnp.dtype = jnp.float32, name: str | None = None
) -> nn.Module:
  """Makes the layer `kind` of the table above.

  Args:
    kind: 'frozen_bn', 'bn_eval', 'sync_bn', 'gn' or 'gn_ws'.
    train: True: 'sync_bn' uses and updates batch statistics; the others ignore it.
    ends_branch: True for the last layer of a residual branch.
    dtype: of the result; the arithmetic is float32, or float64 for float64 input.
    name: of the submodule.
  """
  if kind not in AFFINE:
    raise ValueError(f"unknown norm '{kind}': choose one of {', '.join(AFFINE)}")
  if kind in ('gn', 'gn_ws'):
    return GroupNorm(dtype=dtype, name=name)
  scale = RESIDUAL_SCALE if ends_branch and STATISTICS[kind] == 'constants' else 1.0
  return BatchNorm(
    affine=AFFINE[kind],
    statistics=STATISTICS[kind],
    train=train and kind == 'sync_bn',
    scale_init=nn.initializers.constant(scale),
    dtype=dtype,
    name=name,
  )


def standardizes(kind: str) -> bool:
  """True if the convolution before a norm of this kind standardises its kernel."""
  return kind == 'gn_ws'


class BatchNorm(nn.Module):
  """Batch normalisation as one multiplication and one addition per channel (Ioffe & Szegedy, 2015).

  In training the statistics are over all rows of the array; under jit with a sharded batch that is the global batch.
  As in torch, the running variance is unbiased, and the batch is normalised by the biased variance.
  """

  affine: str  # collection that holds scale and bias
  statistics: str  # collection that holds mean and var
  train: bool = False
  scale_init: Callable = nn.initializers.ones
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, '*B C']) -> Float[Array, '*B C']:
    shape = x.shape[-1:]
    scale = self._array('scale', self.affine, self.scale_init, shape)
    bias = self._array('bias', self.affine, nn.initializers.zeros, shape)
    running_mean = self.variable(self.statistics, 'mean', jnp.zeros, shape, jnp.float32)
    running_var = self.variable(self.statistics, 'var', jnp.ones, shape, jnp.float32)
    wide = at_least_float32(x)
    mean, var = running_mean.value, running_var.value
    if self.train:
      axes = tuple(range(x.ndim - 1))
      mean = wide.mean(axes)
      var = jnp.maximum((wide * wide).mean(axes) - mean * mean, 0.0)
      if not self.is_initializing():
        count = x.size // x.shape[-1]
        unbiased = var * (count / max(count - 1, 1))
        running_mean.value += MOMENTUM * (jax.lax.stop_gradient(mean) - running_mean.value)
        running_var.value += MOMENTUM * (jax.lax.stop_gradient(unbiased) - running_var.value)
    factor = scale * jax.lax.rsqrt(var + EPSILON)
    return (wide * factor + (bias - mean * factor)).astype(self.dtype)

  def _array(self, name: str, collection: str, init: Callable, shape: tuple[int, ...]) -> Float[Array, 'C']:
    if collection == 'params':
      return self.param(name, init, shape, jnp.float32)
    return self.variable(collection, name, lambda: init(jax.random.key(0), shape, jnp.float32)).value


class GroupNorm(nn.Module):
  """Group normalisation (Wu & He, 2018) with 32 groups or another number, fewer in channels too few for them.

  The number of groups is the largest that divides the channels, is at most `groups` and leaves two channels each.
  """

  groups: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W C']:
    channels = x.shape[-1]
    groups = max(g for g in range(1, self.groups + 1) if channels % g == 0 and (g == 1 or 2 * g <= channels))
    scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
    wide = at_least_float32(x)

    def group_mean(v: Float[Array, 'B H W C']) -> Float[Array, 'B 1 1 C']:
      # Channels are reduced first over space, which keeps them on the last axis, then within their group.
      means = v.mean((1, 2)).reshape(v.shape[0], groups, -1).mean(-1)
      return jnp.repeat(means, channels // groups, axis=1)[:, None, None]

    # In two passes: the mean of squares less the square of the mean would round away a small variance.
    centred = wide - group_mean(wide)
    inverse = jax.lax.rsqrt(group_mean(centred * centred) + EPSILON)
    return (centred * (scale * inverse) + bias).astype(self.dtype)
