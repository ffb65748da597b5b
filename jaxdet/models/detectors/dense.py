"""Dense one-stage detectors: every anchor or point of every level is classified and moved, at once.

What the methods share: networks, the ranking of (row, class) pairs, suppression. A method (retinanet.py, fcos.py, ..)
says what its rows stand for, what they are to become and how they are read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.detectors.detections import make_detections
from jaxdet.models.detectors.forward import Forward, Losses, Variables
from jaxdet.models.detectors.level_anchors import Priors, level_anchors
from jaxdet.models.detectors.level_rows import Maps, Rows, level_rows
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.models.detectors.trainable import all_but_frozen_stages
from jaxdet.ops import boxes
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Detections

LOSS = 'loss'  # under which a method's loss keeps its state


class Method(Protocol):
  """What one method has of its own; maps and rows are by name, `logits` among them."""

  @property
  def box_channels(self) -> int:
    """Numbers that the head makes for the box of an anchor."""

  def initial_state(self) -> Variables:
    """What the loss keeps from step to step; {}: nothing."""

  def loss(self, maps: Maps, priors: Priors, batch: Batch, state: Variables) -> tuple[Losses, Variables]:
    """The losses over the batch by name, and the new state."""

  def scores(self, rows: Rows) -> Float[Array, 'N K']:
    """By which the pairs of a row and a class are held against the threshold and ranked."""

  def final_scores(self, scores: Float[Array, 'k'], rows: Rows) -> Float[Array, 'k']:
    """The scores of k pairs, each with its row, that suppression goes by and detections have."""

  def decode(self, rows: Rows, priors: Float[Array, 'k 4'], level: int) -> Float[Array, 'k 4']:
    """Boxes in canvas pixels, not clipped."""


@dataclasses.dataclass(frozen=True, eq=False)
class DenseDetector:
  """Networks `backbone`, `neck` and `head`, and the method that reads them; see docs/design.md, 'A detector'."""

  settings: FrozenConfigDict  # config.model, with the number of classes
  networks: Mapping[str, nn.Module]
  method: Method

  def init(self, key: Array) -> Variables:
    """Random variables, {'params': .., 'constants': .., 'batch_stats': ..}; no shape depends on a canvas."""
    variables: Variables = {'params': {}, 'constants': {}, 'batch_stats': {}}
    x = jnp.zeros((1, 64, 64, 3), self.settings.dtype)
    for k, (name, network) in enumerate(self.networks.items()):
      x, created = network.init_with_output(jax.random.fold_in(key, k), x, train=False)
      for collection, value in created.items():
        variables[collection][name] = value
    if state := self.method.initial_state():
      variables['batch_stats'][LOSS] = state
    return variables

  def trainable(self, params: Variables) -> Variables:
    """A tree of bool like `params`: False for the backbone's frozen stages."""
    return all_but_frozen_stages(params, self.settings.backbone.frozen_stages)

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
    """Losses by name, all to be summed, and the new `batch_stats`.

    Args:
      variables: as `init` makes them.
      batch: B images with ground truth.
      key: not used; nothing is drawn.
    """
    del key
    forward = Forward(self.networks, variables, train=True)
    maps = self.maps(forward, batch)
    losses, state = self.method.loss(maps, self.priors(maps), batch, forward.state(LOSS))
    forward.move(LOSS, jax.lax.stop_gradient(state))
    return losses, forward.new_state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """Detections in pixels of the resized image, without masks."""
    maps = self.maps(Forward(self.networks, variables, train=False), batch)
    return detect(self.method, maps, self.priors(maps), batch.image_size, self.settings.test)

  def maps(self, forward: Forward, batch: Batch) -> Maps:
    """What the head makes of the images."""
    settings = self.settings
    images = normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)
    return forward('head', forward('neck', forward('backbone', images)))

  def priors(self, maps: Maps) -> Priors:
    """The anchors that the rows of the maps belong to."""
    return level_anchors(maps['logits'], self.settings.head)


@jax.named_scope('detections')
def detect(
  method: Method, maps: Maps, priors: Priors, image_size: Int[Array, 'B 2'], test: FrozenConfigDict
) -> Detections:
  """The best pairs of a row and a class after class-wise suppression.

  As upstream: of every level the best `test.pre_nms` pairs above the threshold are decoded, and all levels are
  suppressed together. With `test.clip` 'before', boxes are clipped to the image and those without area dropped before
  suppression (mmdetection); with 'after', afterwards (Detectron2).
  """

  def one_image(by_level: dict[int, Rows], size: Int[Array, '2']) -> Detections:
    parts = []
    for level, rows in by_level.items():
      index, labels, scores = best_pairs(method, rows, test.pre_nms)
      chosen = {name: x[index] for name, x in rows.items()}
      decoded = method.decode(chosen, jnp.asarray(priors[level])[index], level)
      parts.append((decoded, method.final_scores(scores, chosen), labels, scores > test.score_threshold))
    decoded, scores, labels, valid = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    valid &= jnp.isfinite(decoded).all(-1) & jnp.isfinite(scores)
    decoded = jnp.where(valid[:, None], decoded, 0.0)
    clipped = boxes.clip(decoded, size - test.extra)
    has_area = boxes.has_sides(clipped, 0.0)
    if test.clip == 'before':
      decoded, valid = clipped, valid & has_area
    kept, kept_valid = nms_top_k(
      decoded, scores, valid, test.iou, groups=labels, k=min(test.detections, scores.shape[0])
    )
    if test.clip == 'after':
      kept_valid &= has_area[kept]
    incomplete = jnp.zeros((), bool)  # the cut at `pre_nms` is part of the method
    return make_detections(clipped[kept], scores[kept], labels[kept], kept_valid, incomplete)

  return per_image(one_image)(level_rows(maps), image_size)


def best_pairs(method: Method, rows: Rows, limit: int) -> tuple[Int[Array, 'k'], Int[Array, 'k'], Float[Array, 'k']]:
  """The rows, the classes and the scores of the best pairs, best first; scores that are not numbers come last.

  A pair among the best k has one of the k rows whose best class is best: so many rows are enough to rank.
  """

  def ranking(rows: Rows) -> Float[Array, 'N K']:
    scores = method.scores(rows)
    return jnp.where(jnp.isnan(scores), -jnp.inf, scores)

  by_row = ranking(rows).max(-1)
  _, best_rows = jax.lax.top_k(by_row, min(limit, by_row.shape[0]))
  scores = ranking({name: x[best_rows] for name, x in rows.items()})
  best, index = jax.lax.top_k(scores.reshape(-1), min(limit, scores.size))
  position, labels = jnp.divmod(index, scores.shape[1])
  return best_rows[position], labels, best
