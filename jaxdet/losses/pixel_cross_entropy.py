"""Cross entropy of the classes of pixels."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def pixel_cross_entropy(logits: Float[Array, '*B K'], classes: Int[Array, '*B']) -> Float[Array, '']:
  """The mean softmax cross entropy of the pixels that count; 0 where none does.

  The mean is over the pixels of all images together, so that an image with many counts for more.

  Args:
    logits: of every pixel.
    classes: of every pixel; -1: it does not count.
  """
  counts = classes >= 0
  each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counts, classes, 0))
  return jnp.where(counts, each, 0.0).sum() / jnp.maximum(counts.sum(), 1)
