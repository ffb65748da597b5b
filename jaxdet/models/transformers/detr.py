"""Encoder and decoder of DETR (Carion et al., 2020)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdet.models.layers.remat import apply_block
from jaxdet.models.transformers.attention import Attention, FeedForward, layer_norm
from jaxdet.models.transformers.cells import Cells
from jaxdet.models.transformers.prediction import Prediction


class DetrEncoder(nn.Module):
  """Encoder: self-attention of the cells of one map, in layers `layer0`, `layer1`, .."""

  layers: int
  heads: int
  feed_forward: int  # width of the hidden layer
  dropout: float
  remat: str = ''  # of layers, see layers/remat.py
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Float[Array, 'B S C'], cells: Cells, *, train: bool) -> Float[Array, 'B S C']:
    x, position = features.astype(self.dtype), cells.encoding.astype(self.dtype)
    for i in range(self.layers):
      layer = EncoderLayer(self.heads, self.feed_forward, self.dropout, self.dtype, name=f'layer{i}')
      x = apply_block(self.remat, layer, x, position, cells, train=train)
    return x


class EncoderLayer(nn.Module):
  """Self-attention and a feed-forward network, each followed by a norm."""

  heads: int
  feed_forward: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'B S C'], position: Float[Array, 'B S C'], cells: Cells, *, train: bool):
    attention = Attention(self.heads, self.dropout, self.dtype, name='self_attention')
    x = attention(x, position, valid=cells.valid, train=train)
    x = layer_norm(dtype=self.dtype, name='norm1')(x)
    x = FeedForward(self.feed_forward, self.dropout, self.dtype, name='feed_forward')(x, train=train)
    return layer_norm(dtype=self.dtype, name='norm2')(x)


class DetrDecoder(nn.Module):
  """Decoder: learned queries attend to each other and to the memory, in layers `layer0`, ..

  The norm `post_norm` and the heads `prediction` are shared by all layers.
  """

  queries: int
  layers: int
  heads: int
  feed_forward: int
  dropout: float
  num_logits: int
  remat: str = ''  # of layers
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, memory: Float[Array, 'B S C'], cells: Cells, *, train: bool
  ) -> tuple[Float[Array, 'L B Q K'], Float[Array, 'L B Q 4']]:
    """Class logits and boxes (cx, cy, width, height) in image sides, of every layer."""
    batch, _, channels = memory.shape
    embedding = nn.Embed(self.queries, channels, embedding_init=nn.initializers.normal(1.0), name='queries')
    position = embedding(jnp.arange(self.queries))[None].astype(self.dtype)
    memory_position = cells.encoding.astype(self.dtype)
    x, states = jnp.zeros((batch, self.queries, channels), self.dtype), []
    post_norm = layer_norm(dtype=self.dtype, name='post_norm')
    for i in range(self.layers):
      layer = DecoderLayer(self.heads, self.feed_forward, self.dropout, self.dtype, name=f'layer{i}')
      x = apply_block(self.remat, layer, x, position, memory, memory_position, cells, train=train)
      states.append(post_norm(x))
    logits, boxes = Prediction(self.num_logits, dtype=self.dtype, name='prediction')(jnp.stack(states))
    return logits, jax.nn.sigmoid(boxes)


class DecoderLayer(nn.Module):
  """Self-attention, attention to the memory and a feed-forward network, each followed by a norm."""

  heads: int
  feed_forward: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, position, memory, memory_position, cells: Cells, *, train: bool) -> Float[Array, 'B Q C']:
    x = Attention(self.heads, self.dropout, self.dtype, name='self_attention')(x, position, train=train)
    x = layer_norm(dtype=self.dtype, name='norm1')(x)
    attention = Attention(self.heads, self.dropout, self.dtype, name='cross_attention')
    x = attention(x, position, memory, memory_position, cells.valid, train=train)
    x = layer_norm(dtype=self.dtype, name='norm2')(x)
    x = FeedForward(self.feed_forward, self.dropout, self.dtype, name='feed_forward')(x, train=train)
    return layer_norm(dtype=self.dtype, name='norm3')(x)
