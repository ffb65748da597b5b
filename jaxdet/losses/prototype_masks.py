"""YOLACT's mask losses (Bolya et al., 2019) for one image: prototype masks in their boxes, and a semantic map."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.probability_cross_entropy import LARGEST, probability_cross_entropy
from jaxdet.ops.image_masks import cells_of_boxes


def prototype_mask_loss(
  logits: Float[Array, 'P h w'],
  targets: Float[Array, 'P h w'],
  boxes: Float[Array, 'P 4'],
  valid: Bool[Array, 'P'],
  extent: Float[Array, '2'],
) -> Float[Array, '']:
  """Sum over masks of the mean loss per cell, divided by the box's share of the grid.

  A cell outside the box is predicted as background: it gives no gradient, but a loss if the target is mask there.

  Args:
    logits: of the cells of each mask.
    targets: 0 or 1.
    boxes: of the objects, in pixels.
    valid: False for padding.
    extent: (height, width) in pixels that the grid covers.
  """
  boxes = jnp.where(valid[:, None], boxes, jnp.asarray([0.0, 0.0, 1.0, 1.0]))
  rows, columns = cells_of_boxes(boxes, extent, logits.shape[1:])
  within = rows[:, :, None] & columns[:, None]
  logits = jnp.where(within & valid[:, None, None], logits, 0.0)
  each = probability_cross_entropy(logits, targets)
  mean = jnp.where(within, each, LARGEST * targets).mean((1, 2))
  share = jnp.prod((boxes[:, 2:] - boxes[:, :2]) / extent[::-1], axis=-1)
  return jnp.where(valid & (share > 0), mean / jnp.where(share > 0, share, 1.0), 0.0).sum()


def semantic_loss(
  logits: Float[Array, 'h w K'],
  masks: Float[Array, 'N h w'],
  labels: Int[Array, 'N'],
  valid: Bool[Array, 'N'],
) -> Float[Array, '']:
  """Mean over cells of the sigmoid losses of all classes; 0 for an image without objects.

  Map k belongs to class k + 1, the last map to class 0, as in upstream's weights.

  Args:
    logits: of the cells.
    masks: of the objects, 0 or 1.
    labels: of the objects.
    valid: False for padding.
  """
  num_classes = logits.shape[-1]
  maps = jnp.where(valid, (labels - 1) % num_classes, num_classes)
  targets = jnp.zeros((num_classes, *masks.shape[1:])).at[maps].max(masks, mode='drop')
  each = optax.sigmoid_binary_cross_entropy(logits, jax.lax.stop_gradient(jnp.moveaxis(targets, 0, -1)))
  return jnp.where(valid.any(), each.sum(-1).mean(), 0.0)
