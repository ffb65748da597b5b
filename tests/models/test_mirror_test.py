"""Detection in the mirror image too: where its boxes lie, and what is merged."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from jaxdet.models.detections import make_detections
from jaxdet.models.detectors.mirror_test import MirrorTest, mirror_boxes, mirror_image
from jaxdet.models.forward import Apply
from jaxdet.structures import ImageMasks
from small_detector import make_batch

SETTINGS = FrozenConfigDict({'decay': 'hard', 'iou': 0.5, 'sigma': 0.5, 'score_threshold': 0.0})


@dataclasses.dataclass(frozen=True)
class LeftHalf:
  """Finds the brightest pixel of the left half of the canvas, as a box of a pixel; and one box that it always sees."""

  networks: ClassVar = {}
  with_masks: bool = False

  def loss(self, call, batch, key):
    return {'loss': jnp.float32(7)}

  def predict(self, call, batch):
    def one_image(image):
      half = image[:, : image.shape[1] // 2, 0]
      y, x = jnp.divmod(half.argmax(), half.shape[1])
      boxes = jnp.stack([jnp.array([x, y, x + 1, y + 1]), jnp.array([10, 20, 30, 40])]).astype(jnp.float32)
      found = make_detections(
        boxes, jnp.array([half.max() / 255, 0.1]), jnp.array([1, 2]), jnp.ones(2, bool), jnp.zeros((), bool)
      )
      return found.replace(masks=ImageMasks(jnp.zeros((2, 4, 4)))) if self.with_masks else found

    return jax.vmap(one_image)(batch.image)


def predict(batch, detector=None):
  detector = MirrorTest(detector or LeftHalf(), SETTINGS)
  return detector.predict(Apply({}, {}, train=False), batch)


def batch_of(x: int):
  """Images of 56 x 80 on 64 x 96 pixels with a bright pixel at (x, 5)."""
  batch = make_batch()
  image = np.zeros_like(batch.image)
  image[:, 5, x] = 200
  return batch.replace(image=image)


def test_the_image_is_turned_where_it_lies_on_the_canvas():
  image = np.arange(2 * 6 * 3).reshape(2, 6, 3).astype(np.uint8)
  turned = mirror_image(jnp.asarray(image), jnp.array([2, 4]))
  np.testing.assert_array_equal(turned[:, :4], image[:, 3::-1])
  np.testing.assert_array_equal(mirror_boxes(jnp.array([[1.0, 2, 3, 4]]), jnp.int32(80)), [[77, 2, 79, 4]])


@pytest.mark.parametrize('x', [11, 70])
def test_what_either_view_sees_is_found_in_the_image(x):
  found = predict(batch_of(x))
  for boxes, scores, labels in zip(found.boxes, found.scores, found.labels, strict=True):
    assert boxes[0].tolist() == [x, 5, x + 1, 6] and labels[0] == 1
    np.testing.assert_allclose(scores[0], 200 / 255)


def test_as_many_as_of_one_view_are_kept_the_best_first():
  found = predict(batch_of(11))
  # The second of the seen ones, and the first of the mirror image, which saw nothing, tie for what is left.
  assert found.boxes.shape == (2, 2, 4) and found.valid.all()
  assert (np.diff(found.scores) < 0).all()


def test_boxes_of_both_views_suppress_each_other():
  batch = batch_of(20)
  symmetric = batch.replace(image_size=np.full((2, 2), 40, np.int32))  # the always seen box is its own mirror image
  found = predict(symmetric)
  assert found.boxes[0].tolist() == [[20, 5, 21, 6], [10, 20, 30, 40]]
  alone = predict(symmetric.replace(image=np.zeros_like(symmetric.image)))
  assert [10, 20, 30, 40] in alone.boxes[0].tolist()


def test_it_is_trained_as_it_is():
  assert MirrorTest(LeftHalf(), SETTINGS).loss(None, None, None) == {'loss': 7.0}


def test_masks_are_refused():
  with pytest.raises(ValueError, match="merges boxes alone, and the detector makes masks: leave out 'mirror'"):
    predict(batch_of(11), LeftHalf(with_masks=True))
