"""A dense method's boxes as proposals: over all levels together, best first, and their logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.parts import rpn
from jaxdet.models.build import dense_proposals
from jaxdet.models.proposals.dense import logits
from jaxdet.models.recording import Record
from jaxdet.structures import Batch
from learned_by_heart import quick_jit
from small_detector import make_batch

FAR = -30.0  # logit of cells without an object


def generator(min_size: float = 0.0):
  settings = rpn.fcos(test=(6, 4))
  settings['head']['anchors']['sizes'] = (8,), (16,)
  settings['test_proposals']['min_size'] = min_size
  return dense_proposals(FrozenConfigDict(settings), jnp.float32)


def propose(made, cells, batch: Batch):
  """Proposals of the first image from cells {(level, row, column): (class logit, centerness logit, distances)}."""
  outputs = {
    'logits': {3: np.full((1, 8, 12, 1, 1), FAR, np.float32), 4: np.full((1, 4, 6, 1, 1), FAR, np.float32)},
    'box_regression': {3: np.zeros((1, 8, 12, 1, 4), np.float32), 4: np.zeros((1, 4, 6, 1, 4), np.float32)},
    'centerness': {3: np.zeros((1, 8, 12, 1), np.float32), 4: np.zeros((1, 4, 6, 1), np.float32)},
  }
  for (level, row, column), (class_logit, centerness, distances) in cells.items():
    outputs['logits'][level][0, row, column] = class_logit
    outputs['centerness'][level][0, row, column] = centerness
    outputs['box_regression'][level][0, row, column] = np.log(distances)
  one = jax.tree.map(lambda x: x[:1], batch)
  return quick_jit(lambda outputs: made._propose(Record({}, {}), outputs, one, made.settings.test_proposals))(outputs)


CELLS = {
  (3, 1, 1): (2.0, 3.0, (10, 10, 10, 10)),  # around (12, 12)
  (4, 0, 0): (4.0, -1.0, (6, 6, 14, 14)),  # around (8, 8): the same box, with less centerness
  (3, 5, 9): (1.0, 0.0, (4, 4, 40, 40)),  # around (76, 44), leaves the image of 80 x 56 pixels
}


def test_boxes_of_all_levels_are_suppressed_and_ranked_together():
  found = propose(generator(), CELLS, make_batch())
  scores = [1 / (1 + np.exp(-a)) / (1 + np.exp(-b)) for a, b in ((2.0, 3.0), (1.0, 0.0))]
  np.testing.assert_allclose(found.boxes[0, :2], [[2, 2, 22, 22], [72, 40, 80, 56]], atol=1e-4)
  np.testing.assert_allclose(jax.nn.sigmoid(found.logits[0, :2]), scores, rtol=1e-5)
  assert found.boxes.shape == (1, 4, 4) and found.valid[0, :2].all()


def test_a_proposal_is_larger_than_the_least_size():
  found = propose(generator(min_size=8.0), CELLS, make_batch())
  assert found.valid.tolist() == [[True, False, False, False]] and not found.boxes[0, 1:].any()


@pytest.mark.parametrize('probability', [0.0, 1e-30, 0.5, 1.0])
def test_logits_are_finite_and_their_sigmoid_is_the_probability(probability):
  found = logits(jnp.float32(probability))
  assert np.isfinite(found)
  np.testing.assert_allclose(jax.nn.sigmoid(found), probability, rtol=1e-6, atol=1e-30)
