"""The second stage: which boxes are trained on and with what targets, box and mask losses, and the detections.

Fast R-CNN (Girshick, 2015) and Mask R-CNN (He et al., 2017) as Detectron2 and mmdetection have them.
`settings` is `config.model.roi`, `test` is `config.model.test`.
"""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.matcher import match
from jaxdet.assign.sampler import sample_rows
from jaxdet.losses.box_regression import regression_loss
from jaxdet.models.detectors.detections import make_detections
from jaxdet.models.detectors.rpn import Proposals
from jaxdet.ops import box_coder, boxes
from jaxdet.ops.masks import crop_masks, unpack_masks
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
from jaxdet.ops.polygon_targets import crop_polygons
from jaxdet.structures import Batch, Detections


@flax.struct.dataclass
class RoITargets:
  """R regions for each of B images with what they are to be; positives come first."""

  boxes: Float[Array, 'B R 4']
  labels: Int[Array, 'B R']  # class, or the number of classes for background
  objects: Int[Array, 'B R']  # row of the matched object
  positive: Bool[Array, 'B R']
  is_object: Bool[Array, 'B R']  # the region is an object's own box, added to the proposals
  valid: Bool[Array, 'B R']


@jax.named_scope('region_targets')
def targets(
  proposals: Proposals, batch: Batch, keys: Array, num_classes: int, settings: FrozenConfigDict
) -> RoITargets:
  """Matches proposals with objects and samples those to train on.

  Args:
    proposals: without gradient.
    batch: ground truth.
    keys: a random key for each image, [B].
    num_classes: K; background is class K.
    settings: `config.model.roi`.
  """

  def one_image(key, proposal_boxes, proposals_valid, gt_boxes, gt_labels, gt_valid):
    num_proposals = len(proposal_boxes)
    if settings.add_ground_truth:
      proposal_boxes = jnp.concatenate([proposal_boxes, gt_boxes])
      proposals_valid = jnp.concatenate([proposals_valid, gt_valid])
    matched = match(proposal_boxes, gt_boxes, gt_valid, candidates=proposals_valid, **settings.matcher)
    rows = sample_rows(matched.label, proposals_valid, key, **settings.sampler)
    objects = matched.index[rows.index]
    positive = rows.valid & (matched.label[rows.index] == 1)
    labels = jnp.where(positive, gt_labels[objects], num_classes)
    roi_boxes = jnp.where(rows.valid[:, None], proposal_boxes[rows.index], 0.0)
    is_object = rows.valid & (rows.index >= num_proposals)
    return RoITargets(roi_boxes, labels, objects, positive, is_object, rows.valid)

  chosen = per_image(one_image)(keys, proposals.boxes, proposals.valid, batch.boxes, batch.labels, batch.objects_valid)
  return jax.lax.stop_gradient(chosen)


def box_loss(
  deltas: Float[Array, 'B R K|1 4'], regions: RoITargets, batch: Batch, settings: FrozenConfigDict
) -> Float[Array, '']:
  """Regression summed over positives, divided by all sampled regions.

  The loss is `settings.loss`, see losses/box_regression.py.
  """
  objects = jnp.take_along_axis(batch.boxes, regions.objects[..., None], axis=1)
  own = _of_class(deltas, regions.labels)
  total = regression_loss(own, regions.boxes, objects, regions.positive, settings.coder, settings.loss)
  return total / jnp.maximum(regions.valid.sum(), 1)


def mask_rows(regions: RoITargets, settings: FrozenConfigDict) -> RoITargets:
  """The leading rows that can be positive: all that the mask head needs to see."""
  rows = int(settings.sampler.num * settings.sampler.positive_fraction) or regions.valid.shape[1]
  return jax.tree.map(lambda x: x[:, :rows], regions)


@jax.named_scope('mask_loss')
def mask_loss(logits: Float[Array, 'B R S S'], regions: RoITargets, batch: Batch) -> Float[Array, '']:
  """Binary cross entropy of the true class's mask: the mean over pixels and positives of the batch.

  With logits of the regions' own classes. The mean is over the positives of the whole batch, where
  upstream takes it per GPU and averages those means.
  """

  side = logits.shape[-1]

  def from_bits(bits, windows, size, regions: RoITargets):
    masks = unpack_masks(bits)
    return crop_masks(masks[regions.objects], windows[regions.objects], regions.boxes, size, side)

  def from_outlines(outlines, parts, regions: RoITargets):
    return crop_polygons(outlines[regions.objects], parts[regions.objects], regions.boxes, side)

  wanted = per_image(from_bits)(batch.mask_bits, batch.mask_windows, batch.image_size, regions)
  if batch.outlines is not None:
    drawn = per_image(from_outlines)(batch.outlines, batch.outline_parts, regions)
    has_outline = jnp.take_along_axis(batch.outline_parts[..., 0] >= 0, regions.objects, axis=1)
    wanted = jnp.where(has_outline[..., None, None], drawn, wanted)
  wanted = jax.lax.stop_gradient(wanted)
  per_region = optax.sigmoid_binary_cross_entropy(logits, wanted).mean((-2, -1))
  return jnp.where(regions.positive, per_region, 0.0).sum() / jnp.maximum(regions.positive.sum(), 1)


def refine(
  scores: Float[Array, 'B R K'],
  deltas: Float[Array, 'B R K|1 4'],
  regions: Float[Array, 'B R 4'],
  image_size: Int[Array, 'B 2'],
  coder: FrozenConfigDict,
) -> Float[Array, 'B R 4']:
  """Regions moved by the deltas of their likeliest class and clipped to the image; without gradient."""
  return _decode_class(deltas, scores.argmax(-1), regions, image_size, coder)


def refined_regions(
  scores: Float[Array, 'B R K'],
  deltas: Float[Array, 'B R K|1 4'],
  regions: RoITargets,
  image_size: Int[Array, 'B 2'],
  settings: FrozenConfigDict,
) -> Proposals:
  """What a cascade's next stage is trained on: regions moved by the deltas of the class they belong to.

  Background goes by its likeliest class. With `cascade.resample` the objects' own boxes are left out, since the next
  stage adds them again (mmdetection); without, only regions that became empty are (Detectron2).
  """
  labels = jnp.where(regions.positive, regions.labels, scores.argmax(-1))
  moved = _decode_class(deltas, labels, regions.boxes, image_size, settings.coder)
  valid = regions.valid & (~regions.is_object if settings.cascade.resample else boxes.has_sides(moved, 0.0))
  return Proposals(jnp.where(valid[..., None], moved, 0.0), jnp.zeros(valid.shape), valid)


@jax.named_scope('detections')
def detect(
  scores: Float[Array, 'B P K'],
  deltas: Float[Array, 'B P K 4'],
  proposals: Proposals,
  image_size: Int[Array, 'B 2'],
  coder: FrozenConfigDict,
  test: FrozenConfigDict,
) -> Detections:
  """The best (box, class) pairs above the score threshold after class-wise suppression, without masks.

  Upstream decodes every box for every class and suppresses all pairs above the threshold. Here the best
  `test.candidates` pairs an image are decoded and enter suppression, which gives the same detections
  whenever these hold every pair above the threshold, or `test.detections` survive among them;
  `incomplete` marks the images where neither is so. With `test.drop_empty` boxes without area are left out of what
  survives (Detectron2).
  """

  def one_image(scores, deltas, proposal_boxes, valid, size):
    eligible = valid[:, None] & jnp.isfinite(scores).all(-1, keepdims=True) & (scores > test.score_threshold)
    ranking = jnp.where(eligible, scores, -jnp.inf).reshape(-1)
    best, index = jax.lax.top_k(ranking, min(test.candidates, ranking.shape[0]))
    rows, labels = jnp.divmod(index, scores.shape[1])
    chosen = deltas[rows, labels % deltas.shape[1]]
    decoded = box_coder.decode_clipped(chosen, proposal_boxes[rows], size, coder)
    finite = jnp.isfinite(decoded).all(-1)
    decoded = jnp.where(finite[:, None], decoded, 0.0)
    kept, kept_valid = nms_top_k(
      decoded, best, jnp.isfinite(best) & finite, test.iou, groups=labels, k=min(test.detections, best.shape[0])
    )
    incomplete = (eligible.sum() > best.shape[0]) & ~kept_valid.all()
    if test.drop_empty:
      kept_valid &= boxes.has_sides(decoded[kept], 0.0)
    return make_detections(decoded[kept], best[kept], labels[kept], kept_valid, incomplete)

  return per_image(one_image)(scores, deltas, proposals.boxes, proposals.valid, image_size)


def _decode_class(deltas, labels, regions, image_size, coder: FrozenConfigDict) -> Float[Array, 'B R 4']:
  decode = jax.vmap(partial(box_coder.decode_clipped, coder=coder))
  return jax.lax.stop_gradient(decode(_of_class(deltas, labels), regions, image_size))


def _of_class(deltas: Float[Array, 'B R K 4'], labels: Int[Array, 'B R']) -> Float[Array, 'B R 4']:
  """The deltas of each region's own class; those of class-agnostic heads serve every class."""
  index = jnp.minimum(labels, deltas.shape[2] - 1)
  return jnp.take_along_axis(deltas, index[..., None, None], axis=2)[:, :, 0]
