"""Mask task: a small network predicts the mask of every RoI's class (Mask R-CNN, He et al., 2017)."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.models.forward import Call, Losses
from jaxdet.models.poolers.pooler import Pooler
from jaxdet.models.roi_targets import RoITargets
from jaxdet.ops.masks import crop_masks, unpack_masks
from jaxdet.ops.per_image import per_image
from jaxdet.ops.polygon_targets import crop_polygons
from jaxdet.structures import Batch, BoxMasks, Detections, InstanceMasks


@dataclasses.dataclass(frozen=True, eq=False)
class MaskTask:
  """Masks from one network, or from one per cascade stage, averaged as probabilities."""

  networks: Mapping[str, nn.Module]
  pooler: Pooler | None  # None: the mask heads use the box heads' features (C4)
  most_positives: int | None  # leading RoIs of an image that can be positive; None: all

  def loss(
    self,
    call: Call,
    stage: int,
    pyramid: Mapping[int, Array],
    features: Array,
    targets: RoITargets,
    batch: Batch,
    key: Array,
  ) -> Losses:
    """`loss_mask` of a stage; {} if the stage trains no mask head.

    Args:
      call: runs networks.
      stage: number of the box stage.
      pyramid: of the neck.
      features: of the box head, for all RoIs.
      targets: the RoIs.
      batch: ground truth.
      key: not used, nothing is drawn.
    """
    del key
    if stage >= len(self.heads):
      return {}
    rois, _, logits = self.train_masks(call, stage, pyramid, features, targets)
    return {'loss_mask': call.step('mask loss', mask_loss, logits, rois, batch, gradient=1)}

  def predict(
    self,
    call: Call,
    pyramid: Mapping[int, Array],
    box_features,
    detections: Detections,
    image_size: Int[Array, 'B 2'],
  ) -> Detections:
    """The detections with masks.

    Args:
      call: runs networks.
      pyramid: of the neck.
      box_features: function (call, pyramid, boxes) -> features of the box head.
      detections: without masks.
      image_size: not used, masks are relative to their boxes.
    """
    del image_size
    features = (self.pooler or box_features)(call, pyramid, detections.boxes)
    logits = [call.on_valid_rows(head, detections.valid, features, detections.labels) for head in self.heads]
    probabilities = [jax.nn.sigmoid(x) for x in logits]
    return detections.replace(masks=BoxMasks(sum(probabilities) / len(probabilities)))

  @property
  def heads(self) -> tuple[str, ...]:
    """Names of the mask heads, in the order of the stages that train them."""
    return tuple(self.networks)

  def train_masks(
    self, call: Call, stage: int, pyramid: Mapping[int, Array], features: Array, targets: RoITargets
  ) -> tuple[RoITargets, Float[Array, 'B R S S C'], Float[Array, 'B R T T']]:
    """RoIs that can be positive, their features, and the mask logits of their classes; arguments as of `loss`."""
    rois = targets.leading(self.most_positives)
    if self.pooler is None:
      features = features[:, : rois.valid.shape[1]]
    else:
      features = self.pooler(call, pyramid, rois.boxes)
    return rois, features, call.on_valid_rows(self.heads[stage], rois.positive, features, rois.labels)


@jax.named_scope('mask_loss')
def mask_loss(logits: Float[Array, 'B R S S'], rois: RoITargets, batch: Batch) -> Float[Array, '']:
  """Binary cross entropy of the target class's mask: mean over pixels and over positives of the batch.

  The mean is over the positives of the whole batch; upstream averages the means of the GPUs.

  Args:
    logits: of the RoIs' own classes.
    rois: with their objects.
    batch: ground truth.
  """
  side = logits.shape[-1]
  wanted = jax.lax.stop_gradient(mask_targets(rois, batch.objects.masks, batch.image_size, side))
  return mask_cross_entropy(logits, wanted, rois.positive)


def mask_cross_entropy(
  logits: Float[Array, 'B R S S'], wanted: Float[Array, 'B R S S'], positive: Bool[Array, 'B R']
) -> Float[Array, '']:
  """Binary cross entropy, mean over pixels and over positives of the batch."""
  per_roi = optax.sigmoid_binary_cross_entropy(logits, wanted).mean((-2, -1))
  return jnp.where(positive, per_roi, 0.0).sum() / jnp.maximum(positive.sum(), 1)


def mask_targets(
  rois: RoITargets, masks: InstanceMasks, image_size: Int[Array, 'B 2'], side: int
) -> Float[Array, 'B R S S']:
  """Mask targets of the RoIs' objects within the RoIs: from polygons if an object has them, else from its bits."""

  def from_bits(masks: InstanceMasks, size, rois: RoITargets):
    unpacked = unpack_masks(masks.bits)
    return crop_masks(unpacked[rois.gt_index], masks.windows[rois.gt_index], rois.boxes, size, side)

  def from_outlines(outlines, parts, rois: RoITargets):
    return crop_polygons(outlines[rois.gt_index], parts[rois.gt_index], rois.boxes, side)

  bits_alone = masks.replace(outlines=None, outline_parts=None)
  wanted = per_image(from_bits)(bits_alone, image_size, rois)
  if masks.outlines is None:
    return wanted
  drawn = per_image(from_outlines)(masks.outlines, masks.outline_parts, rois)
  has_outline = jnp.take_along_axis(masks.outline_parts[..., 0] >= 0, rois.gt_index, axis=1)
  return jnp.where(has_outline[..., None, None], drawn, wanted)
