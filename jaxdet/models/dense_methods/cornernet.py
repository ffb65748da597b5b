"""CornerNet (Law & Deng, 2018): a box is a pair of a top left and a bottom right corner with similar embeddings.

`settings` is `config.model.head`. Outputs are those of dense_heads/corner_head.py: every level is trained on the same
corners, the last one gives the detections.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.corners import draw_gaussians, gaussian_radius, last_in_cell, object_corners
from jaxdet.losses.associative_embedding import pull_and_push
from jaxdet.losses.box_regression import smooth_l1
from jaxdet.losses.gaussian_focal import gaussian_focal_loss
from jaxdet.models.dense_heads.corner_head import CORNERS
from jaxdet.models.dense_methods.method import Candidates, DenseMethod
from jaxdet.models.dense_methods.predictions import Outputs
from jaxdet.models.detections import make_detections
from jaxdet.models.forward import Call, Losses
from jaxdet.ops import boxes as box_ops
from jaxdet.ops.on_each_device import on_each_device
from jaxdet.ops.per_image import per_image
from jaxdet.ops.soft_nms import soft_nms
from jaxdet.sharding import active_data_mesh
from jaxdet.structures import Batch, Detections

Maps = dict[str, Float[Array, 'H W _']]  # of one level and image, by names of the head's outputs


class CornerTargets(NamedTuple):
  """Targets for one kind of corner: cells and offsets of every object, and a heat map."""

  cells: Int[Array, 'B N 2']  # (y, x)
  offsets: Float[Array, 'B N 2']
  counted: Bool[Array, 'B N']  # objects in the offset loss: one per cell
  heat: Float[Array, 'B H W K']


class FoundCorners(NamedTuple):
  """The k best corners of one kind in an image."""

  points: Float[Array, 'k 2']  # (x, y) in cells
  scores: Float[Array, 'k']
  labels: Int[Array, 'k']
  embedding: Float[Array, 'k M']
  valid: Bool[Array, 'k']


class CornerNet(DenseMethod):
  """Detects corners by heat maps, pairs them by embeddings, and corrects their rounding by offsets."""

  @property
  def head_arguments(self) -> dict[str, Any]:
    return {}  # there are no anchors

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    targets = lax.stop_gradient(self._targets(outputs, batch))
    parts = [
      self._level_loss({name: maps[level] for name, maps in outputs.items()}, targets, batch.objects.valid)
      for level in sorted(outputs['top_left_logits'])
    ]
    return {name: sum(part[name] for part in parts) for name in parts[0]}

  @jax.named_scope('corner_targets')
  def _targets(self, outputs: Outputs, batch: Batch) -> dict[str, CornerTargets]:
    """Targets of each kind of corner, shared by all levels."""
    maps, gt = outputs['top_left_logits'], batch.objects
    shape = maps[max(maps)].shape[1:3]

    def one_image(boxes: Float[Array, 'N 4'], valid: Bool[Array, 'N']):
      *corners, sides = object_corners(boxes, shape, batch.image.shape[1:3])
      radii = gaussian_radius(sides, self.settings.heat.min_overlap).astype(jnp.int32)
      return [(corner, last_in_cell(corner.cells, valid)) for corner in corners], radii

    draw = on_each_device(partial(draw_gaussians, shape=shape, num_classes=self.num_classes), active_data_mesh())
    corners, radii = per_image(one_image)(gt.boxes, gt.valid)
    return {
      name: CornerTargets(corner.cells, corner.offsets, counted, draw(corner.cells, radii, gt.labels, gt.valid))
      for name, (corner, counted) in zip(CORNERS, corners, strict=True)
    }

  def _level_loss(
    self, maps: dict[str, Float[Array, 'B H W _']], targets: dict[str, CornerTargets], valid: Bool[Array, 'B N']
  ) -> Losses:
    """Losses of one level; those of heat maps and offsets are the mean of both kinds of corners."""
    settings, heat, offsets, embeddings = self.settings, 0.0, 0.0, []
    for corner, target in targets.items():
      corners = jnp.maximum((target.heat == 1).sum(), 1)
      focal = settings.class_loss
      heat += gaussian_focal_loss(maps[f'{corner}_logits'], target.heat, focal.alpha, focal.gamma) / corners / 2
      found = per_image(_at)(maps[f'{corner}_offsets'], target.cells)
      missed = smooth_l1(found, target.offsets, settings.offset_loss.beta).sum(-1)
      counted = target.counted
      offsets += jnp.where(counted, missed, 0.0).sum() / jnp.maximum(counted.sum(), 1) / 2
      embeddings.append(per_image(_at)(maps[f'{corner}_embedding'], target.cells))
    pull, push = per_image(pull_and_push)(*embeddings, valid)
    images = min(settings.embedding_loss.images, len(valid))
    return {
      'loss_corners': settings.class_loss.weight * heat,
      'loss_offsets': settings.offset_loss.weight * offsets,
      'loss_pull': settings.embedding_loss.pull * images * pull.mean(),
      'loss_push': settings.embedding_loss.push * images * push.mean(),
    }

  def place(self, images: Float[Array, 'B H W 3'], sizes: Int[Array, 'B 2']) -> Float[Array, 'B H W 3']:
    """Moves each image to the centre of upstream's canvas for it, which lies at the top left of the batch's canvas."""
    if not self.test.margin:
      return images
    _, offsets = self._framed(sizes, images.shape[1:3])
    return per_image(lambda image, offset: jnp.roll(image, offset, (0, 1)))(images, offsets)

  def _framed(self, size: Int[Array, '*B 2'], canvas: tuple[int, int]) -> tuple[Int[Array, '*B 2'], Int[Array, '*B 2']]:
    """Size (height, width) of an image with upstream's padding, and its offset (y, x) there."""
    canvas = jnp.asarray(canvas)
    if not self.test.margin:
      return jnp.broadcast_to(canvas, size.shape), jnp.zeros_like(size)
    framed = jnp.minimum(size | self.test.margin, canvas)
    return framed, jnp.minimum(framed // 2 - size // 2, framed - size)

  def detect(self, call: Call, outputs: Outputs, batch: Batch) -> Detections:
    """Detects boxes from the corners of the last level."""
    last = {name: by_level[max(by_level)] for name, by_level in outputs.items()}
    canvas = batch.image.shape[1:3]

    def from_maps(maps: dict[str, Float[Array, 'B H W _']], image_size: Int[Array, 'B 2']) -> Detections:
      return per_image(lambda maps, size: self.postprocess(self.pairs(maps, size, canvas), size))(maps, image_size)

    return call.step('detections', jax.named_scope('detections')(from_maps), last, batch.image_size, gradient=0)

  def pairs(self, maps: Maps, size: Int[Array, '2'], canvas: tuple[int, int]) -> Candidates:
    """The best `test.pre_nms_topk` boxes from pairs of corners of one class with similar embeddings.

    Args:
      maps: of one image.
      size: (height, width) of the image.
      canvas: (height, width) of the batch.
    """
    test = self.test
    shape = maps['top_left_logits'].shape[:2]
    framed, offset = self._framed(size, canvas)
    cells = -(-framed * jnp.asarray(shape) // jnp.asarray(canvas))  # covered by the image and its padding
    starts, ends = (self._corners(maps, corner, cells) for corner in CORNERS)
    stride = (framed / cells)[::-1]

    def in_pixels(points: Float[Array, 'k 2']) -> Float[Array, 'k 2']:
      return jnp.maximum(points * stride - offset[::-1], 0.0)

    first, last = in_pixels(starts.points)[:, None], in_pixels(ends.points)
    distance = jnp.abs(starts.embedding[:, None] - ends.embedding).sum(-1)
    fits = (
      (starts.valid[:, None] & ends.valid)
      & (starts.labels[:, None] == ends.labels)
      & (distance <= test.distance_threshold)
      & (last > first).all(-1)
    )
    scores = jnp.where(fits, (starts.scores[:, None] + ends.scores) / 2, -jnp.inf).reshape(-1)
    best, index = lax.top_k(scores, min(test.pre_nms_topk, scores.size))
    one, other = jnp.divmod(index, len(ends.scores))
    boxes = jnp.concatenate([first[one, 0], last[other]], -1)
    valid = (best > -jnp.inf) & jnp.isfinite(boxes).all(-1)
    return Candidates(jnp.where(valid[:, None], boxes, 0.0), best, starts.labels[one], valid, {})

  def _corners(self, maps: Maps, corner: str, cells: Int[Array, '2']) -> FoundCorners:
    """The best `test.corner_topk` corners of a kind, among the local maxima of each class."""
    test = self.test
    logits = maps[f'{corner}_logits']
    height, width, classes = logits.shape
    covered = (jnp.arange(height) < cells[0])[:, None] & (jnp.arange(width) < cells[1])
    logits = jnp.where(covered[..., None] & ~jnp.isnan(logits), logits, -jnp.inf)
    around = (test.local_maximum_kernel, test.local_maximum_kernel, 1)
    best_around = lax.reduce_window(logits, -jnp.inf, lax.max, around, (1, 1, 1), 'SAME')
    peaks = jnp.where(logits == best_around, logits, -jnp.inf)
    best, index = lax.top_k(peaks.reshape(-1), min(test.corner_topk, peaks.size))
    cell, labels = jnp.divmod(index, classes)
    y, x = jnp.divmod(cell, width)
    at = jnp.stack([y, x], -1)
    points = jnp.stack([x, y], -1) + _at(maps[f'{corner}_offsets'], at)
    return FoundCorners(points, jax.nn.sigmoid(best), labels, _at(maps[f'{corner}_embedding'], at), best > -jnp.inf)

  def postprocess(self, candidates: Candidates, size: Int[Array, '2']) -> Detections:
    """Detections of one image, by soft NMS within classes."""
    test = self.test
    kept = soft_nms(
      candidates.boxes,
      candidates.scores,
      candidates.valid,
      test.detections,
      decay=test.decay,
      iou=test.iou,
      sigma=test.sigma,
      score_threshold=test.score_threshold,
      groups=candidates.labels,
    )
    boxes, valid = candidates.boxes[kept.index], kept.valid
    if test.clip:
      boxes = box_ops.clip(boxes, size)
      valid &= box_ops.nonempty(boxes, 0.0)
    incomplete = jnp.zeros((), bool)  # the cuts at `corner_topk` and `pre_nms_topk` are part of the method
    return make_detections(boxes, kept.scores, candidates.labels[kept.index], valid, incomplete)


def _at(maps: Float[Array, 'H W C'], cells: Int[Array, 'N 2']) -> Float[Array, 'N C']:
  return maps[cells[:, 0], cells[:, 1]]
