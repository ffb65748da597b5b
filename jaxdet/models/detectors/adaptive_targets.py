"""The targets of detectors whose objects choose their anchors by adaptive training sample selection: ATSS, GFL."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.atss import match_atss
from jaxdet.models.detectors.level_anchors import training_anchors
from jaxdet.models.detectors.level_rows import Maps
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch


def adaptive_targets(
  maps: Maps, anchors: Mapping[int, np.ndarray], batch: Batch, num_classes: int, settings: FrozenConfigDict
) -> tuple[Int[Array, 'B N'], Bool[Array, 'B N'], Float[Array, 'B N 4']]:
  """The class of every anchor, `num_classes` for background; which anchors take part; the boxes of their objects.

  Args:
    maps: of the head, for their sizes.
    anchors: of each level.
    batch: ground truth.
    num_classes: K.
    settings: of a head; `matcher`, `train_anchors` and `border` are read.
  """
  everything = jnp.asarray(np.concatenate(list(anchors.values())))
  level_sizes = [len(level) for level in anchors.values()]

  def one_image(gt_boxes, gt_labels, gt_valid, size):
    candidates = training_anchors(maps['logits'], anchors, size, settings)
    matched = match_atss(everything, level_sizes, gt_boxes, gt_valid, candidates=candidates, **settings.matcher)
    labels = jnp.where(matched.positive, gt_labels[matched.index], num_classes)
    return labels, candidates, gt_boxes[matched.index]

  targets = per_image(one_image)(batch.boxes, batch.labels, batch.objects_valid, batch.image_size)
  return jax.lax.stop_gradient(targets)
