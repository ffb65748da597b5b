"""Makes training RoIs: proposals matched with ground truth and sampled, with their objects."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdet.assign.tables import ASSIGNERS, ROW_SAMPLERS
from jaxdet.ops.per_image import per_image
from jaxdet.parts import find_with_settings
from jaxdet.structures import Objects, Proposals

Settings = Mapping[str, Any]


@flax.struct.dataclass
class RoITargets:
  """R RoIs for each of B images with their targets; positives come first.

  Ground truth is stored as a row index of `Batch.objects`; `gt` gathers the annotations that a task needs.
  """

  boxes: Float[Array, 'B R 4']
  labels: Int[Array, 'B R']  # class, or the number of classes for background
  gt_index: Int[Array, 'B R']  # row of the matched object
  positive: Bool[Array, 'B R']
  is_gt_box: Bool[Array, 'B R']  # the RoI is a ground-truth box, added to the proposals
  valid: Bool[Array, 'B R']

  def gt(self, objects: Objects) -> Objects:
    """Gathers the matched object of every RoI, [B, R, ...], with all its annotations."""
    return objects.take(self.gt_index)

  def leading(self, count: int | None) -> 'RoITargets':
    """The first `count` RoIs of every image; None: all."""
    return jax.tree.map(lambda x: x[:, :count], self)


def label_and_sample(
  proposals: Proposals,
  objects: Objects,
  keys: Array,
  num_classes: int,
  matcher: Settings,
  sampler: Settings,
  add_ground_truth: bool,
  moving: Mapping[str, Float[Array, 'B']] | None = None,
) -> RoITargets:
  """Matches proposals with objects and samples training RoIs; without gradient.

  Args:
    proposals: of every image.
    objects: ground truth.
    keys: a random key for each image, [B].
    num_classes: K; background is class K.
    matcher: `name` of ASSIGNERS, and its settings.
    sampler: `name` of ROW_SAMPLERS, and its settings.
    add_ground_truth: adds ground-truth boxes to the proposals.
    moving: settings of the matcher that change from step to step, for every image, in place of those in `matcher`.
  """
  assign, match_settings = find_with_settings(ASSIGNERS, matcher, 'matcher')
  sample, sample_settings = find_with_settings(ROW_SAMPLERS, sampler, 'sampler')

  def one_image(key, boxes, valid, gt: Objects, moving):
    num_proposals = len(boxes)
    if add_ground_truth:
      boxes, valid = jnp.concatenate([boxes, gt.boxes]), jnp.concatenate([valid, gt.valid])
    matched = assign(boxes, gt.boxes, gt.valid, valid_boxes=valid, **{**match_settings, **moving})
    rows = sample(matched, valid, key, **sample_settings)
    gt_index = matched.index[rows.index]
    positive = rows.valid & (matched.label[rows.index] == 1)
    return RoITargets(
      boxes=jnp.where(rows.valid[:, None], boxes[rows.index], 0.0),
      labels=jnp.where(positive, gt.labels[gt_index], num_classes),
      gt_index=gt_index,
      positive=positive,
      is_gt_box=rows.valid & (rows.index >= num_proposals),
      valid=rows.valid,
    )

  with jax.named_scope('region_targets'):
    boxes_alone = objects.replace(masks=None, keypoints=None)
    chosen = per_image(one_image)(keys, proposals.boxes, proposals.valid, boxes_alone, moving or {})
    return jax.lax.stop_gradient(chosen)


def most_positives(sampler: Settings) -> int | None:
  """Number of leading RoIs that can be positive; None: all of them."""
  return int(sampler['num'] * sampler['positive_fraction']) or None
