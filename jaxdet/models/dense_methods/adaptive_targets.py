"""Targets by adaptive training sample selection, for ATSS and GFL."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.atss import match_atss
from jaxdet.models.dense_methods.method import stacked
from jaxdet.models.dense_methods.predictions import Outputs
from jaxdet.models.level_anchors import Anchors, training_anchors
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Objects


def adaptive_targets(
  outputs: Outputs, anchors: Anchors, batch: Batch, num_classes: int, settings: FrozenConfigDict
) -> tuple[Int[Array, 'B N'], Bool[Array, 'B N'], Float[Array, 'B N 4']]:
  """Targets of all anchors: class (`num_classes` for background), mask of anchors that take part, ground-truth box.

  Args:
    outputs: of the head, for the sizes of its maps.
    anchors: of each level.
    batch: ground truth.
    num_classes: K.
    settings: of a head; `matcher`, `train_anchors` and `border` are read.
  """
  every_anchor = jnp.asarray(stacked(anchors))
  level_sizes = [len(level) for level in anchors.values()]

  def one_image(gt: Objects, size):
    valid = training_anchors(outputs['logits'], anchors, size, settings)
    matched = match_atss(every_anchor, level_sizes, gt.boxes, gt.valid, valid_anchors=valid, **settings.matcher)
    labels = jnp.where(matched.positive, gt.labels[matched.index], num_classes)
    return labels, valid, gt.boxes[matched.index]

  targets = per_image(one_image)(batch.objects.replace(masks=None), batch.image_size)
  return jax.lax.stop_gradient(targets)
