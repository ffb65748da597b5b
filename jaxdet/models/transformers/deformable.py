"""Encoder, query proposals and decoder of Deformable DETR (Zhu et al., 2021)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.models.layers.conv import at_least_float32
from jaxdet.models.layers.remat import apply_block
from jaxdet.models.transformers.attention import Attention, DeformableAttention, FeedForward, layer_norm, xavier
from jaxdet.models.transformers.cells import Cells, box_encoding, centres
from jaxdet.models.transformers.prediction import Prediction, prior_bias

zeros = nn.initializers.zeros


class DeformableEncoder(nn.Module):
  """Encoder: every cell attends to points around itself on all levels, in layers `layer0`, `layer1`, ..

  The level embedding is `levels`.
  """

  layers: int
  heads: int
  points: int
  feed_forward: int  # width of the hidden layer
  dropout: float
  remat: str = ''  # of layers, see layers/remat.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Float[Array, 'B S C'], cells: Cells, *, train: bool) -> Float[Array, 'B S C']:
    count = len(cells.shapes)
    levels = nn.Embed(count, features.shape[-1], embedding_init=nn.initializers.normal(1.0), name='levels')
    sizes = jnp.array([height * width for height, width in cells.shapes])
    of_cell = jnp.repeat(jnp.arange(count), sizes, total_repeat_length=features.shape[1])
    position = (cells.encoding + levels(of_cell)).astype(self.dtype)
    x, references = features.astype(self.dtype), centres(cells)
    for i in range(self.layers):
      layer = DeformableEncoderLayer(
        self.heads, self.points, self.feed_forward, self.dropout, self.dtype, name=f'layer{i}'
      )
      x = apply_block(self.remat, layer, x, position, references, cells, train=train)
    return x


class DeformableEncoderLayer(nn.Module):
  """Deformable self-attention and a feed-forward network, each followed by a norm."""

  heads: int
  points: int
  feed_forward: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, position, references, cells: Cells, *, train: bool) -> Float[Array, 'B S C']:
    attention = DeformableAttention(self.heads, self.points, self.dropout, self.dtype, name='self_attention')
    x = attention(x, position, references, x, cells, train=train)
    x = layer_norm(dtype=self.dtype, name='norm1')(x)
    x = FeedForward(self.feed_forward, self.dropout, self.dtype, name='feed_forward')(x, train=train)
    return layer_norm(dtype=self.dtype, name='norm2')(x)


class QueryProposals(nn.Module):
  """Class logits and box changes of every memory cell, for the first stage of two."""

  num_logits: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, memory: Float[Array, 'B S C'], usable: Bool[Array, 'B S'], *, train: bool
  ) -> tuple[Float[Array, 'B S K'], Float[Array, 'B S 4']]:
    """Class logits, and changes of the box logits; features of cells that are not `usable` are zeroed."""
    del train  # there is no dropout
    x = jnp.where(usable[..., None], memory, 0)
    x = nn.Dense(x.shape[-1], kernel_init=xavier, dtype=self.dtype, name='memory_proj')(x)
    x = layer_norm(dtype=self.dtype, name='memory_norm')(x)
    return Prediction(self.num_logits, prior_bias, zeros, dtype=self.dtype, name='prediction')(x)


class DeformableDecoder(nn.Module):
  """Decoder: queries attend to each other and to points of the memory, in layers `layer0`, `layer1`, ..

  Queries are learned (`queries`, `reference_points`), or made from proposals (`query_proj`, `query_norm`). The heads
  `prediction` are shared by all layers; with `refine` each layer has its own, `prediction0` and so on, and the box of
  one layer is the reference of the next.
  """

  queries: int
  layers: int
  heads: int
  points: int
  feed_forward: int
  dropout: float
  num_logits: int
  refine: bool
  remat: str = ''  # of layers
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, memory: Float[Array, 'B S C'], cells: Cells, proposals: Float[Array, 'B Q 4'] | None, *, train: bool
  ) -> tuple[Float[Array, 'L B Q K'], Float[Array, 'L B Q 4']]:
    """Class logits and boxes (cx, cy, width, height) in image sides, of every layer.

    Args:
      memory: of the encoder.
      cells: its cells.
      proposals: logits of the queries' initial boxes; None: learned reference points.
      train: True: applies dropout.
    """
    batch, _, channels = memory.shape
    if proposals is None:
      embedding = nn.Embed(self.queries, 2 * channels, embedding_init=nn.initializers.normal(1.0), name='queries')
      queries = jnp.broadcast_to(embedding(jnp.arange(self.queries)), (batch, self.queries, 2 * channels))
      position, x = jnp.split(queries.astype(self.dtype), 2, -1)
      points = nn.Dense(2, kernel_init=xavier, dtype=self.dtype, name='reference_points')(position)
      references = jax.nn.sigmoid(at_least_float32(points))
    else:
      references = jax.nn.sigmoid(proposals)
      queries = box_encoding(references, 2 * channels).astype(self.dtype)
      queries = nn.Dense(2 * channels, kernel_init=xavier, dtype=self.dtype, name='query_proj')(queries)
      position, x = jnp.split(layer_norm(dtype=self.dtype, name='query_norm')(queries), 2, -1)

    # Learned reference points have no size: their boxes start small.
    small = (0.0, 0.0, -2.0, -2.0) if proposals is None else (0.0,) * 4
    shared = None if self.refine else self._prediction('prediction', small)
    all_logits, all_boxes = [], []
    for i in range(self.layers):
      layer = DeformableDecoderLayer(
        self.heads, self.points, self.feed_forward, self.dropout, self.dtype, name=f'layer{i}'
      )
      x = apply_block(self.remat, layer, x, position, references, memory, cells, train=train)
      logits, change = (shared or self._prediction(f'prediction{i}', (0.0,) * 4 if i else small))(x)
      start = inverse_sigmoid(references)
      boxes = jax.nn.sigmoid(change + jnp.pad(start, ((0, 0), (0, 0), (0, 4 - start.shape[-1]))))
      if self.refine:
        references = jax.lax.stop_gradient(boxes)
      all_logits.append(logits)
      all_boxes.append(boxes)
    return jnp.stack(all_logits), jnp.stack(all_boxes)

  def _prediction(self, name: str, box_bias: tuple[float, ...]) -> Prediction:
    return Prediction(self.num_logits, prior_bias, zeros, box_bias, self.dtype, name=name)


class DeformableDecoderLayer(nn.Module):
  """Self-attention, deformable attention to the memory and a feed-forward network, each followed by a norm."""

  heads: int
  points: int
  feed_forward: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, position, references, memory, cells: Cells, *, train: bool) -> Float[Array, 'B Q C']:
    x = Attention(self.heads, self.dropout, self.dtype, name='self_attention')(x, position, train=train)
    x = layer_norm(dtype=self.dtype, name='norm1')(x)
    attention = DeformableAttention(self.heads, self.points, self.dropout, self.dtype, name='cross_attention')
    x = attention(x, position, references, memory, cells, train=train)
    x = layer_norm(dtype=self.dtype, name='norm2')(x)
    x = FeedForward(self.feed_forward, self.dropout, self.dtype, name='feed_forward')(x, train=train)
    return layer_norm(dtype=self.dtype, name='norm3')(x)


def inverse_sigmoid(x: Float[Array, '...'], eps: float = 1e-5) -> Float[Array, '...']:
  """Computes log(x / (1 - x)), with both clipped to at least `eps`."""
  return jnp.log(jnp.maximum(x, eps)) - jnp.log(jnp.maximum(1 - x, eps))
