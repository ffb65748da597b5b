"""Base class of dense methods: anchors, losses, decoding and postprocessing of one-stage detectors.

Most methods differ only in targets and losses; each shared part can be overridden.
`settings` is `config.model.head`, `test` is `config.model.test`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.losses import normalizer
from jaxdet.models.dense_methods.predictions import Outputs, Predictions, level_predictions
from jaxdet.models.detections import make_detections
from jaxdet.models.forward import Call, Losses
from jaxdet.models.level_anchors import Anchors, anchors_per_cell, level_anchors, level_strides
from jaxdet.ops import boxes
from jaxdet.ops.box_coder import BoxCoder, make_coder
from jaxdet.ops.nms import nms_top_k
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Detections

STATE = 'loss'  # name of the state of a method's loss


@flax.struct.dataclass
class Candidates:
  """k (anchor, class) pairs of one image, best first within each level."""

  boxes: Float[Array, 'k 4']  # in canvas pixels, not clipped
  scores: Float[Array, 'k']
  labels: Int[Array, 'k']
  valid: Bool[Array, 'k']  # above the score threshold, and finite
  predictions: Predictions  # of the pairs' anchors


@dataclasses.dataclass(frozen=True, eq=False)
class DenseMethod:
  """Base class; a method defines `loss` and `decode`."""

  settings: FrozenConfigDict
  test: FrozenConfigDict
  num_classes: int

  box_channels: ClassVar[int] = 4  # box regression channels per anchor

  @property
  def head_arguments(self) -> dict[str, Any]:
    """Arguments of the head's network from the method, in addition to its own settings."""
    return {'num_anchors': self.num_anchors, 'box_channels': self.box_channels}

  @property
  def num_anchors(self) -> int:
    """Anchors per cell."""
    return anchors_per_cell(self.settings.anchors)

  @property
  def coder(self) -> BoxCoder:
    """Box coder of the head's regression, from `settings.coder`."""
    return make_coder(self.settings.coder)

  def anchors(self, outputs: Outputs) -> Anchors:
    """Anchors of each level, in the order of the predictions."""
    return level_anchors(outputs['logits'], self.settings.anchors)

  def strides(self, anchors: Anchors) -> dict[int, float]:
    """Stride of each level, in canvas pixels per cell."""
    return level_strides(anchors, self.settings.anchors)

  def place(self, images: Float[Array, 'B H W 3'], sizes: Int[Array, 'B 2']) -> Float[Array, 'B H W 3']:
    """Normalised images where detection wants them on the canvas, at whose top left they come; zeros around them."""
    del sizes
    return images

  def loss(self, call: Call, outputs: Outputs, batch: Batch, key: Array) -> Losses:
    """Losses over the batch by name.

    Args:
      call: keeps state from step to step.
      outputs: of the head.
      batch: ground truth.
      key: random key of the step.
    """
    raise NotImplementedError

  def decode(
    self, predictions: Predictions, anchors: Float[Array, 'k 4'], strides: Float[Array, '']
  ) -> Float[Array, 'k 4']:
    """Decodes boxes in canvas pixels, not clipped; `strides` is the level's stride in canvas pixels."""
    raise NotImplementedError

  def scores(self, predictions: Predictions) -> Float[Array, 'N K']:
    """Scores for thresholding and top-k."""
    return jax.nn.sigmoid(predictions['logits'])

  def final_scores(self, scores: Float[Array, 'k'], predictions: Predictions) -> Float[Array, 'k']:
    """Scores of detections, also used to rank boxes in suppression."""
    del predictions
    return scores

  def divisor(self, call: Call, positive: Bool[Array, 'B N']) -> Float[Array, '']:
    """Divisor of the losses, by `settings.normalizer` (losses/normalizer.py)."""
    settings = self.settings.normalizer
    state = call.state(STATE, lambda: normalizer.initial_state(settings))
    divisor, state = normalizer.normalizer(positive, settings, state)
    call.update_state(STATE, state)
    return divisor

  def detect(self, call: Call, outputs: Outputs, batch: Batch) -> Detections:
    """Selects the best (anchor, class) pairs after suppression."""

    def from_outputs(outputs: Outputs, image_size: Int[Array, 'B 2']) -> Detections:
      anchors = self.anchors(outputs)

      def one_image(by_level: dict[int, Predictions], size: Int[Array, '2']) -> Detections:
        return self.postprocess(self.candidates(by_level, anchors), size)

      return per_image(one_image)(level_predictions(outputs), image_size)

    return call.step('detections', jax.named_scope('detections')(from_outputs), outputs, batch.image_size, gradient=0)

  def candidates(self, by_level: dict[int, Predictions], anchors: Anchors) -> Candidates:
    """Selects and decodes the best `test.pre_nms_topk` pairs above the threshold of every level of one image."""
    strides, parts = self.strides(anchors), []
    for level, predictions in by_level.items():
      index, labels, scores = self.best_pairs(predictions, self.test.pre_nms_topk)
      chosen = {name: x[index] for name, x in predictions.items()}
      decoded = self.decode(chosen, jnp.asarray(anchors[level])[index], jnp.float32(strides[level]))
      final = self.final_scores(scores, chosen)
      valid = (scores > self.test.score_threshold) & jnp.isfinite(decoded).all(-1) & jnp.isfinite(final)
      parts.append(Candidates(jnp.where(valid[:, None], decoded, 0.0), final, labels, valid, chosen))
    return jax.tree.map(lambda *levels: jnp.concatenate(levels), *parts)

  def postprocess(self, candidates: Candidates, size: Int[Array, '2']) -> Detections:
    """Suppresses the candidates of all levels of one image together, class by class.

    With `test.clip_before_nms` boxes are clipped to the image and empty ones dropped before suppression (mmdetection),
    otherwise afterwards (Detectron2).
    """
    test, valid, decoded = self.test, candidates.valid, candidates.boxes
    clipped = boxes.clip(decoded, size - int(test.legacy_plus_one))
    has_area = boxes.nonempty(clipped, 0.0)
    if test.clip_before_nms:
      decoded, valid = clipped, valid & has_area
    count = min(test.detections, candidates.scores.shape[0])
    kept, kept_valid = nms_top_k(decoded, candidates.scores, valid, test.iou, groups=candidates.labels, k=count)
    if not test.clip_before_nms:
      kept_valid &= has_area[kept]
    incomplete = jnp.zeros((), bool)  # the cut at `pre_nms_topk` is part of the method
    return make_detections(clipped[kept], candidates.scores[kept], candidates.labels[kept], kept_valid, incomplete)

  def best_pairs(
    self, predictions: Predictions, limit: int
  ) -> tuple[Int[Array, 'k'], Int[Array, 'k'], Float[Array, 'k']]:
    """Anchors, classes and scores of the best pairs, best first; NaN scores come last.

    The best k pairs belong to the k anchors with the best maximum over classes, so only these are ranked.
    """

    def ranking(predictions: Predictions) -> Float[Array, 'N K']:
      scores = self.scores(predictions)
      return jnp.where(jnp.isnan(scores), -jnp.inf, scores)

    by_anchor = ranking(predictions).max(-1)
    _, best_anchors = jax.lax.top_k(by_anchor, min(limit, by_anchor.shape[0]))
    scores = ranking({name: x[best_anchors] for name, x in predictions.items()})
    best, index = jax.lax.top_k(scores.reshape(-1), min(limit, scores.size))
    position, labels = jnp.divmod(index, scores.shape[1])
    return best_anchors[position], labels, best


def stacked(anchors: Anchors) -> Float[np.ndarray, 'N 4']:
  """Concatenates the anchors of all levels, finest first."""
  return np.concatenate(list(anchors.values()))


def stacked_strides(anchors: Anchors, strides: Mapping[int, float]) -> Float[np.ndarray, 'N']:
  """Stride in canvas pixels, for every anchor of all levels."""
  return np.concatenate([np.full(len(x), strides[level], np.float32) for level, x in anchors.items()])
