"""The second stage's functions on regions given by hand."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from jaxdet.models.detectors import roi
from jaxdet.models.detectors.rpn import Proposals
from small_detector import CLASSES, make_batch, small_config


def regions_on_objects(batch):
  """Every object's own box as a positive region."""
  count = batch.boxes.shape[1]
  everything = jnp.asarray(batch.objects_valid)
  objects = jnp.tile(jnp.arange(count), (len(batch.boxes), 1))
  return roi.RoITargets(
    jnp.asarray(batch.boxes), jnp.asarray(batch.labels), objects, everything, ~everything, everything
  )


def test_outlines_take_the_place_of_bits_where_an_object_has_one():
  batch = make_batch()
  regions = regions_on_objects(batch)
  logits = jax.random.normal(jax.random.key(0), (2, 3, 14, 14))
  outlines = np.zeros((2, 3, 8, 2), np.float32)
  parts = np.full((2, 3, 8), -1, np.int8)

  def loss(outlines, parts):
    return roi.mask_loss(logits, regions, batch.replace(outlines=outlines, outline_parts=parts))

  full = (jnp.logaddexp(0, logits) - logits).mean()  # objects fill their boxes
  np.testing.assert_allclose(roi.mask_loss(logits, regions, batch), full, rtol=1e-5)
  np.testing.assert_allclose(loss(outlines, parts), full, rtol=1e-5)

  # The left half of every box, but of one image's objects no outline.
  x1, y1, x2, y2 = np.moveaxis(batch.boxes, -1, 0)
  middle = (x1 + x2) / 2
  ring = ((x1, y1), (middle, y1), (middle, y2), (x1, y2), (x1, y1))
  outlines[:, :, :5] = np.stack([np.stack(corner, -1) for corner in ring], 2)
  parts[0, :, :5] = 0
  halves = logits[0].at[:, :, 7:].multiply(-1)  # a cell that is outside counts as one inside with the opposite logit
  half = (jnp.logaddexp(0, halves) - halves).mean()
  rest = (jnp.logaddexp(0, logits[1]) - logits[1]).mean()
  np.testing.assert_allclose(loss(outlines, parts), (half + rest) / 2, rtol=1e-5)


def cascade_settings(resample: bool) -> FrozenConfigDict:
  settings = small_config().model.roi.copy_and_resolve_references().unlock()
  settings.cascade = {'resample': resample}
  return FrozenConfigDict(settings)


def test_the_next_stage_of_a_cascade_gets_boxes_moved_by_their_own_class():
  regions = roi.RoITargets(
    boxes=jnp.array([[[0.0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 9, 9], [0, 0, 0, 0]]]),
    labels=jnp.array([[1, CLASSES, 2, CLASSES]]),
    objects=jnp.zeros((1, 4), jnp.int32),
    positive=jnp.array([[True, False, True, False]]),
    is_object=jnp.array([[False, False, True, False]]),
    valid=jnp.array([[True, True, True, False]]),
  )
  scores = jnp.zeros((1, 4, CLASSES)).at[:, :, 0].set(1.0)
  shift = 10.0 * jnp.arange(CLASSES)  # class k moves by k times the width
  deltas = jnp.zeros((1, 4, CLASSES, 4)).at[..., 0].set(shift)
  size = jnp.array([[50, 50]])
  anew = roi.refined_regions(scores, deltas, regions, size, cascade_settings(True))
  # The first has label 1; the second is background, and class 0 is its likeliest; the third was an object's own box.
  np.testing.assert_allclose(anew.boxes[0, :2], [[10, 0, 20, 10], [20, 20, 40, 40]])
  np.testing.assert_array_equal(anew.valid, [[True, True, False, False]])
  kept = roi.refined_regions(scores, deltas, regions, size, cascade_settings(False))
  np.testing.assert_array_equal(kept.valid, [[True, True, True, False]])
  outside = roi.refined_regions(scores, deltas + jnp.array([100.0, 0, 0, 0]), regions, size, cascade_settings(False))
  assert not outside.valid.any()


def test_added_objects_are_marked():
  batch = make_batch()
  settings = small_config().model.roi.copy_and_resolve_references().unlock()
  settings.sampler.num = 0
  proposals = Proposals(jnp.asarray(batch.boxes[:, :2]), jnp.zeros((2, 2)), jnp.ones((2, 2), bool))
  keys = jax.random.split(jax.random.key(0), 2)
  found = roi.targets(proposals, batch, keys, CLASSES, FrozenConfigDict(settings))
  assert found.valid.sum(1).tolist() == [5, 5] and found.is_object.sum(1).tolist() == [3, 3]


def test_boxes_without_area_are_left_out_of_what_survives():
  config = small_config().model.copy_and_resolve_references().unlock()
  config.test.update(score_threshold=0.1, detections=3)
  proposals = Proposals(
    jnp.array([[[0.0, 0, 10, 10], [50, 0, 60, 10], [20, 20, 40, 40]]]), jnp.zeros((1, 3)), jnp.ones((1, 3), bool)
  )
  scores = jnp.zeros((1, 3, CLASSES)).at[0, :, 0].set(jnp.array([0.9, 0.8, 0.7]))
  size = jnp.array([[50, 50]])  # the second proposal lies outside

  def detect(drop_empty):
    config.test.drop_empty = drop_empty
    deltas = jnp.zeros((1, 3, 1, 4))
    return roi.detect(
      scores, deltas, proposals, size, FrozenConfigDict(config.roi.coder), FrozenConfigDict(config.test)
    )

  kept, dropped = detect(False), detect(True)
  np.testing.assert_allclose(kept.scores, [[0.9, 0.8, 0.7]], rtol=1e-6)
  np.testing.assert_array_equal(kept.boxes[0, 1], [50, 0, 50, 10])
  np.testing.assert_allclose(dropped.scores, [[0.9, 0.7, 0.0]], rtol=1e-6)
  np.testing.assert_array_equal(dropped.valid, [[True, True, False]])
