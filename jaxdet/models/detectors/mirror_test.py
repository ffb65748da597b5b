"""Detection in an image and its mirror image, with soft NMS over the boxes of both."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import FrozenConfigDict

from jaxdet.models.detections import make_detections
from jaxdet.models.forward import Call, Detector, Losses
from jaxdet.ops.per_image import per_image
from jaxdet.ops.soft_nms import soft_nms
from jaxdet.structures import Batch, Detections


@dataclasses.dataclass(frozen=True, eq=False)
class MirrorTest:
  """Wraps a detector: trains it unchanged, and predicts twice; mmdetection's DetTTAModel with a flip.

  Raises:
    ValueError: the detector predicts masks, which cannot be merged.
  """

  detector: Detector
  settings: FrozenConfigDict  # `config.model.test.mirror`

  @property
  def networks(self) -> Mapping[str, nn.Module]:
    return self.detector.networks

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """Losses of the detector."""
    return self.detector.loss(call, batch, key)

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Detections in pixels of the resized image, as many as for one view."""
    seen = self.detector.predict(call, batch)
    mirrored = self.detector.predict(call, batch.replace(image=per_image(mirror_image)(batch.image, batch.image_size)))
    if seen.masks is not None:
      raise ValueError("model.test.mirror merges boxes alone, and the detector makes masks: leave out 'mirror'")

    def merged(seen: Detections, mirrored: Detections, image_size: Int[Array, 'B 2']) -> Detections:
      return per_image(self._merged)(seen, mirrored, image_size)

    return call.step('merged', jax.named_scope('merged')(merged), seen, mirrored, batch.image_size, gradient=0)

  def _merged(self, seen: Detections, mirrored: Detections, size: Int[Array, '2']) -> Detections:
    """Merges the detections of one image's two views."""
    back = mirrored.replace(boxes=mirror_boxes(mirrored.boxes, size[1]))
    boxes, scores, labels, valid = (
      jnp.concatenate([getattr(view, name) for view in (seen, back)]) for name in ('boxes', 'scores', 'labels', 'valid')
    )
    kept = soft_nms(boxes, scores, valid, len(seen.scores), groups=labels, **self.settings)
    incomplete = seen.incomplete | mirrored.incomplete
    return make_detections(boxes[kept.index], kept.scores, labels[kept.index], kept.valid, incomplete)


def mirror_image(image: UInt8[Array, 'H W 3'], size: Int[Array, '2']) -> UInt8[Array, 'H W 3']:
  """Flips the image horizontally at its place on the canvas; pixels beyond it are undefined."""
  return image[:, jnp.maximum(size[1] - 1 - jnp.arange(image.shape[1]), 0)]


def mirror_boxes(boxes: Float[Array, 'K 4'], width: Int[Array, '']) -> Float[Array, 'K 4']:
  """Maps boxes of the mirror image to the image."""
  x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
  return jnp.stack([width - x2, y1, width - x1, y2], -1)
