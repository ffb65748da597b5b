"""Mask scoring task: masks, and scores multiplied by the predicted IoU of a mask (Huang et al., 2019)."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.forward import Call, Losses
from jaxdet.models.roi_targets import RoITargets
from jaxdet.models.roi_tasks.mask import MaskTask, mask_cross_entropy, mask_targets
from jaxdet.ops.masks import share_in_boxes, unpack_masks
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, BoxMasks, Detections, InstanceMasks

MASK_IOU_HEAD = 'mask_iou_head'


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MaskScoringTask(MaskTask):
  """Masks from one mask head, and their IoUs from a second network, for a detector with one box stage."""

  settings: FrozenConfigDict  # config.model.roi.mask_scoring

  @property
  def heads(self) -> tuple[str, ...]:
    return tuple(name for name in self.networks if name != MASK_IOU_HEAD)

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
    """`loss_mask` as of `MaskTask`, and `loss_mask_iou`; arguments as there."""
    del key
    rois, features, logits = self.train_masks(call, stage, pyramid, features, targets)
    ious = call.on_valid_rows(MASK_IOU_HEAD, rois.positive, features, logits, rois.labels)
    losses = partial(mask_losses, threshold=self.settings.logit_threshold)
    loss_mask, loss_iou = call.step('mask loss', losses, logits, ious, rois, batch, gradient=2)
    return {'loss_mask': loss_mask, 'loss_mask_iou': self.settings.loss_weight * loss_iou}

  def predict(
    self,
    call: Call,
    pyramid: Mapping[int, Array],
    box_features,
    detections: Detections,
    image_size: Int[Array, 'B 2'],
  ) -> Detections:
    """Adds masks to detections and multiplies their scores by the masks' IoUs, best first; arguments as of `MaskTask`.

    As in mmdetection 3 these are the scores of boxes, too; in the paper they are those of masks alone.
    """
    del image_size
    [mask_head] = self.heads
    features = (self.pooler or box_features)(call, pyramid, detections.boxes)
    logits = call.on_valid_rows(mask_head, detections.valid, features, detections.labels)
    ious = call.on_valid_rows(MASK_IOU_HEAD, detections.valid, features, logits, detections.labels)
    scores = jnp.where(detections.valid, detections.scores * ious, 0.0)
    found = detections.replace(scores=scores, masks=BoxMasks(jax.nn.sigmoid(logits)))
    return call.step('rescoring', per_image(best_first), found, gradient=0)


def best_first(detections: Detections) -> Detections:
  """Sorts an image's detections by score; equal ones keep their order."""
  order = jnp.argsort(-jnp.where(detections.valid, detections.scores, -jnp.inf), stable=True)
  rows = jax.tree.map(lambda x: x[order], detections.replace(incomplete=None, semantic=None))
  return rows.replace(incomplete=detections.incomplete, semantic=detections.semantic)


@jax.named_scope('mask_loss')
def mask_losses(
  logits: Float[Array, 'B R S S'], ious: Float[Array, 'B R'], rois: RoITargets, batch: Batch, threshold: float
) -> tuple[Float[Array, ''], Float[Array, '']]:
  """Cross entropy of masks, and squared error of their IoUs: mean over positives of the batch with an IoU above 0.

  Args:
    logits: of the masks of the RoIs' own classes.
    ious: predicted for these.
    rois: with their objects.
    batch: ground truth.
    threshold: logit from which on a pixel is in the predicted mask.
  """
  masks = batch.objects.masks
  wanted = jax.lax.stop_gradient(mask_targets(rois, masks, batch.image_size, logits.shape[-1]))
  shares = per_image(object_shares)(masks.replace(outlines=None, outline_parts=None), rois)
  target = jax.lax.stop_gradient(mask_ious(logits > threshold, wanted, shares))
  counted = rois.positive & (target > 0)
  loss_iou = jnp.where(counted, (ious - target) ** 2, 0.0).sum() / jnp.maximum(counted.sum(), 1)
  return mask_cross_entropy(logits, wanted, rois.positive), loss_iou


def object_shares(masks: InstanceMasks, rois: RoITargets) -> Float[Array, 'R']:
  """Share of the object's mask inside each RoI of an image, from the mask's bits."""
  unpacked = unpack_masks(masks.bits)
  return share_in_boxes(unpacked[rois.gt_index], masks.windows[rois.gt_index], rois.boxes)


def mask_ious(
  predicted: Bool[Array, 'B R S S'], wanted: Float[Array, 'B R S S'], shares: Float[Array, 'B R']
) -> Float[Array, 'B R']:
  """IoU of masks in their RoIs with their whole objects, in cells of the RoIs; 0 if there is neither.

  Args:
    predicted: masks.
    wanted: mask targets, the objects inside the RoIs.
    shares: of the objects' areas inside the RoIs.
  """
  overlap = (predicted * wanted).sum((-2, -1))
  whole = wanted.sum((-2, -1)) / (shares + 1e-7)
  union = predicted.sum((-2, -1)) + whole - overlap
  return jnp.where(union > 0, overlap / jnp.where(union > 0, union, 1.0), 0.0)
