"""Dynamic R-CNN box stage (Zhang et al., 2020): proposals must overlap objects more, the better they become.

Two settings move during training, every `interval` steps: the IoU threshold of positives, to the mean of a high IoU of
the images' proposals, and `beta` of the smooth L1 loss, to the median of a small regression target of the positives.
`settings` is `config.model.roi`; `settings.dynamic` has the numbers.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.assign.matcher import match
from jaxdet.models.box_stages.outputs import BoxOutputs
from jaxdet.models.box_stages.standard import StandardStage, mean_box_loss
from jaxdet.models.forward import Call, Losses
from jaxdet.models.roi_targets import RoITargets, label_and_sample
from jaxdet.ops.box_coder import BoxCoder
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Objects, Proposals

State = dict[str, Array]
LEAST_BETA = 1e-15  # a smaller median leaves beta as it is


@dataclasses.dataclass(frozen=True, eq=False)
class DynamicStage(StandardStage):
  """A standard stage that keeps two states: `matcher`, its IoU threshold, and `box_loss`, its beta.

  Upstream moves them on every GPU by the GPU's own images; here they are of the global batch.

  Raises:
    ValueError: the box loss has no beta.
  """

  def __post_init__(self):
    if self.settings.loss.name != 'smooth_l1':
      raise ValueError(
        f"the stage 'dynamic' moves the beta of 'smooth_l1', but roi.loss is '{self.settings.loss.name}'"
      )

  def label(
    self, call: Call, pyramid: Mapping[int, Array], proposals: Proposals, batch: Batch, keys: Array
  ) -> RoITargets:
    """Samples RoIs by the current IoU threshold, then takes the step's IoUs into account."""
    del pyramid
    s, name = self.settings, self._state_name('matcher')
    state = call.state(name, lambda: initial_threshold(s.matcher.positive_iou))

    def sample(proposals, objects, keys, thresholds) -> RoITargets:
      # As upstream, objects' best proposals would have to reach it too.
      moving = dict.fromkeys(('positive_iou', 'negative_iou', 'low_quality_min_iou'), thresholds)
      return label_and_sample(
        proposals, objects, keys, self.num_classes, s.matcher, s.sampler, s.add_ground_truth, moving
      )

    thresholds = jnp.broadcast_to(state['threshold'], len(keys))
    rank = partial(iou_of_rank, rank=s.dynamic.iou_rank, add_ground_truth=s.add_ground_truth)
    iou = call.step('IoUs of proposals', rank, proposals, batch.objects, gradient=0).mean()
    call.update_state(name, next_threshold(state, iou, s.dynamic.least_iou, s.dynamic.interval))
    return call.step('sampling of regions', sample, proposals, batch.objects, keys, thresholds, gradient=0)

  def box_loss(
    self, call: Call, regression: Float[Array, 'B R K|1 4'], targets: RoITargets, batch: Batch
  ) -> Float[Array, '']:
    """Smooth L1 with the current beta, then takes the step's regression targets into account."""
    s, name = self.settings, self._state_name('box_loss')
    state = call.state(name, lambda: initial_beta(s.loss.beta, s.dynamic.interval))
    shift, known = jax.lax.stop_gradient(
      shift_of_rank(targets, batch.objects, self.coder, rank=s.dynamic.shift_rank * len(batch.image))
    )
    call.update_state(name, next_beta(state, shift, known, s.dynamic.largest_beta))
    return mean_box_loss(regression, targets, batch.objects, self.coder, {**s.loss, 'beta': state['beta']})

  def loss(self, call: Call, outputs: BoxOutputs, targets: RoITargets, batch: Batch, key: Array) -> Losses:
    """Losses of a standard stage, and the two moving settings for the log."""
    s = self.settings
    matcher = call.state(self._state_name('matcher'), lambda: initial_threshold(s.matcher.positive_iou))
    box_loss = call.state(self._state_name('box_loss'), lambda: initial_beta(s.loss.beta, s.dynamic.interval))
    moving = {'iou_threshold': matcher['threshold'], 'beta': box_loss['beta']}
    return super().loss(call, outputs, targets, batch, key) | moving

  def _state_name(self, kind: str) -> str:
    """'matcher0' for 'box_head0'."""
    return self.head.replace('box_head', kind)


def iou_of_rank(proposals: Proposals, objects: Objects, rank: int, add_ground_truth: bool) -> Float[Array, 'B']:
  """The `rank`-th highest best IoU of each image's proposals with any object; of fewer proposals the lowest.

  Args:
    proposals: of every image.
    objects: ground truth.
    rank: counted from 1.
    add_ground_truth: objects' own boxes count too.
  """

  def one_image(boxes, valid, gt_boxes, gt_valid):
    if add_ground_truth:
      boxes, valid = jnp.concatenate([boxes, gt_boxes]), jnp.concatenate([valid, gt_valid])
    any_labels = {'negative_iou': 0.5, 'positive_iou': 0.5, 'low_quality_matches': 'off'}
    iou = match(boxes, gt_boxes, gt_valid, valid_boxes=valid, **any_labels).iou
    best, _ = jax.lax.top_k(iou, min(rank, len(iou)))
    last = jnp.minimum(valid.sum(), len(best)) - 1
    return jnp.maximum(best[jnp.maximum(last, 0)], 0.0)

  return per_image(one_image)(proposals.boxes, proposals.valid, objects.boxes, objects.valid)


def shift_of_rank(
  targets: RoITargets, objects: Objects, coder: BoxCoder, rank: int
) -> tuple[Float[Array, ''], Bool[Array, '']]:
  """The `rank`-th smallest regression target of the batch's positives, and whether there is one.

  A RoI's target is the mean of |dx| and |dy| in the coder's units. Of fewer positives it is the largest.
  """
  gt_boxes = jnp.take_along_axis(objects.boxes, targets.gt_index[..., None], axis=1)
  shifts = jnp.abs(coder.encode(targets.boxes, gt_boxes)[..., :2]).mean(-1)
  ordered = jnp.sort(jnp.where(targets.positive, shifts, jnp.inf).reshape(-1))
  count = targets.positive.sum()
  return ordered[jnp.maximum(jnp.minimum(rank, count) - 1, 0)], count > 0


def initial_threshold(threshold: float) -> State:
  """State of the IoU threshold: its value, the sum of IoUs since it moved, and their number."""
  return {'threshold': jnp.float32(threshold), 'total': jnp.float32(0.0), 'steps': jnp.int32(0)}


def next_threshold(state: State, iou: Float[Array, ''], least: float, interval: int) -> State:
  """Adds the IoU of a step; after `interval` steps the threshold becomes their mean, at least `least`."""
  total, steps = state['total'] + iou.astype(jnp.float32), state['steps'] + 1
  due = steps >= interval
  threshold = jnp.where(due, jnp.maximum(total / interval, least), state['threshold'])
  return {'threshold': threshold, 'total': jnp.where(due, 0.0, total), 'steps': jnp.where(due, 0, steps)}


def initial_beta(beta: float, interval: int) -> State:
  """State of beta: its value, the regression targets since it moved, their number, and the number of steps."""
  return {
    'beta': jnp.float32(beta),
    'shifts': jnp.zeros(interval),
    'count': jnp.int32(0),
    'steps': jnp.int32(0),
  }


def next_beta(state: State, shift: Float[Array, ''], known: Bool[Array, ''], largest: float) -> State:
  """Adds the regression target of a step; after all steps beta becomes their median, at most `largest`.

  Args:
    state: as `initial_beta` or the last call gave it.
    shift: of the step.
    known: False if the step had no positive; then `shift` is not added.
    largest: bound of beta.
  """
  interval = len(state['shifts'])
  added = state['shifts'].at[state['count']].set(shift.astype(jnp.float32))
  shifts = jnp.where(known, added, state['shifts'])
  count, steps = state['count'] + known.astype(jnp.int32), state['steps'] + 1
  ordered = jnp.sort(jnp.where(jnp.arange(interval) < count, shifts, jnp.inf))
  median = (ordered[jnp.maximum(count - 1, 0) // 2] + ordered[jnp.minimum(count // 2, interval - 1)]) / 2
  due = steps >= interval
  moves = due & (count > 0) & (median >= LEAST_BETA)
  return {
    'beta': jnp.where(moves, jnp.minimum(median, largest), state['beta']),
    'shifts': shifts,
    'count': jnp.where(due, 0, count),
    'steps': jnp.where(due, 0, steps),
  }
