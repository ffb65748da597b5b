"""Cross entropy of semantic segmentation."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def pixel_cross_entropy(logits: Float[Array, '*B K'], classes: Int[Array, '*B']) -> Float[Array, '']:
  """Mean softmax cross entropy of valid pixels; 0 if there are none.

  The mean is over the pixels of all images, so that images with more valid pixels weigh more.

  Args:
    logits: of every pixel.
    classes: of every pixel; -1: ignored.
  """
  counts = classes >= 0
  each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counts, classes, 0))
  return jnp.where(counts, each, 0.0).sum() / jnp.maximum(counts.sum(), 1)
