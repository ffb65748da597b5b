"""Blocks of transformer layers: attention, deformable attention and the feed-forward network, with residuals.

The residual has no position encoding. The norm comes after the block (post-norm), as in DETR and Deformable DETR.
Sequences are batch first.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdet.models.layers.conv import at_least_float32
from jaxdet.models.transformers.cells import Cells
from jaxdet.ops.deformable_attention import deformable_attention

xavier = nn.initializers.xavier_uniform()
layer_norm = partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)


class Attention(nn.Module):
  """Multi-head attention (Vaswani et al., 2017) with a residual.

  Submodules are `in_proj` (queries, keys and values side by side, as in torch) and `out_proj`.
  """

  heads: int
  dropout: float  # of attention weights and of the result
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'B Q C'],
    x_position: Float[Array, '#B Q C'],
    memory: Float[Array, 'B S C'] | None = None,
    memory_position: Float[Array, 'B S C'] | None = None,
    valid: Bool[Array, 'B S'] | None = None,
    *,
    train: bool,
  ) -> Float[Array, 'B Q C']:
    """Attends to the valid part of `memory`, or to `x` itself without a memory."""
    if memory is None:
      memory, memory_position = x, x_position
    channels = x.shape[-1]
    drop = nn.Dropout(self.dropout, deterministic=not train)
    projected = InProjection(dtype=self.dtype, name='in_proj')(x + x_position, memory + memory_position, memory)
    queries, keys, values = (y.reshape(*y.shape[:2], self.heads, -1) for y in projected)
    scores = jnp.einsum('bqhd,bkhd->bhqk', queries / math.sqrt(channels // self.heads), keys)
    scores = at_least_float32(scores)
    if valid is not None:
      scores = jnp.where(valid[:, None, None], scores, jnp.finfo(scores.dtype).min)
    weights = drop(jax.nn.softmax(scores)).astype(self.dtype)
    read = jnp.einsum('bhqk,bkhd->bqhd', weights, values).reshape(x.shape)
    return x + drop(nn.Dense(channels, kernel_init=xavier, dtype=self.dtype, name='out_proj')(read))


class InProjection(nn.Module):
  """Three linear layers in one kernel (C, 3 C), each with its own input."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, *inputs: Float[Array, 'B _ C']) -> tuple[Float[Array, 'B _ C'], ...]:
    channels = inputs[0].shape[-1]
    kernel = self.param('kernel', xavier, (channels, 3 * channels), jnp.float32).astype(self.dtype)
    bias = self.param('bias', nn.initializers.zeros, (3 * channels,), jnp.float32).astype(self.dtype)
    parts = zip(inputs, jnp.split(kernel, 3, axis=1), jnp.split(bias, 3), strict=True)
    return tuple(x.astype(self.dtype) @ k + b for x, k, b in parts)


class DeformableAttention(nn.Module):
  """Attention to a few points around a reference on every level (Zhu et al., 2021), with a residual.

  Submodules are `sampling_offsets`, `attention_weights`, `value_proj` and `output_proj`.
  """

  heads: int
  points: int  # per head and level
  dropout: float  # of the result
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'B Q C'],
    x_position: Float[Array, '#B Q C'],
    references: Float[Array, 'B Q 2|4'],
    memory: Float[Array, 'B S C'],
    cells: Cells,
    *,
    train: bool,
  ) -> Float[Array, 'B Q C']:
    """Samples the memory around the references.

    Args:
      x: queries.
      x_position: position encodings of the queries.
      references: points (x, y) or boxes (x, y, width, height) in image sides. Offsets are in cells around a point, and
        in half sides divided by the number of points around a box (eighths of the sides for four points).
      memory: features of all levels.
      cells: the cells of the memory.
      train: True: applies dropout.
    """
    batch, queries, channels = x.shape
    grid = (self.heads, len(cells.shapes), self.points)
    dense = partial(nn.Dense, dtype=self.dtype)
    values = dense(channels, kernel_init=xavier, name='value_proj')(memory)
    values = jnp.where(cells.valid[..., None], values, 0).reshape(batch, -1, self.heads, channels // self.heads)
    zeros, positioned = nn.initializers.zeros, x + x_position
    offsets = dense(2 * math.prod(grid), kernel_init=zeros, bias_init=self._directions, name='sampling_offsets')
    offsets = at_least_float32(offsets(positioned)).reshape(batch, queries, *grid, 2)
    weights = dense(math.prod(grid), kernel_init=zeros, name='attention_weights')(positioned)
    weights = jax.nn.softmax(at_least_float32(weights).reshape(batch, queries, self.heads, -1))

    # From image sides to sides of a level's map, which covers the canvas.
    references = references[:, :, None] * jnp.tile(cells.shares, (1, 1, references.shape[-1] // 2))[:, None]
    references = references[:, :, None, :, None]
    if references.shape[-1] == 2:
      offsets = offsets / jnp.asarray(cells.shapes)[:, None, ::-1]
    else:
      offsets = offsets / self.points * references[..., 2:] * 0.5
    locations = references[..., :2] + offsets
    read = deformable_attention(values, cells.shapes, locations, weights.reshape(batch, queries, *grid))
    read = dense(channels, kernel_init=xavier, name='output_proj')(read)
    return x + nn.Dropout(self.dropout, deterministic=not train)(read)

  def _directions(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, 'N']:
    """Initial offsets: each head in its own direction, each point one cell further."""
    del key
    angles = 2 * np.pi * np.arange(self.heads) / self.heads
    direction = np.stack([np.cos(angles), np.sin(angles)], -1)
    direction /= np.abs(direction).max(-1, keepdims=True)
    steps = np.arange(1, self.points + 1)
    offsets = direction[:, None, None] * steps[:, None]  # [heads, 1, points, 2]
    levels = shape[0] // (2 * self.heads * self.points)
    return jnp.asarray(np.tile(offsets, (1, levels, 1, 1)).reshape(shape), dtype)


class FeedForward(nn.Module):
  """Two linear layers with ReLU between them (`linear1`, `linear2`), with a residual."""

  width: int  # of the hidden layer
  dropout: float
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, 'B Q C'], *, train: bool) -> Float[Array, 'B Q C']:
    drop = nn.Dropout(self.dropout, deterministic=not train)
    dense = partial(nn.Dense, kernel_init=xavier, dtype=self.dtype)
    hidden = drop(nn.relu(dense(self.width, name='linear1')(x)))
    return x + drop(dense(x.shape[-1], name='linear2')(hidden))
