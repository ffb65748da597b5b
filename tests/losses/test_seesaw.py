"""Seesaw loss: by hand, on padding, and as recorded from mmdetection, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses import seesaw
from op_case import op_case
from region_case import LABELS, NUM_CLASSES, VALID, cross_entropy, padding_does_nothing, random_logits, valid_rows


def test_by_hand():
  logits = random_logits(NUM_CLASSES + 2)
  before = np.array([100.0, 0.0, 5.0, 20.0, 1000.0])
  samples = before + np.bincount(LABELS[VALID], minlength=5)
  expected, compensated = 0.0, 0
  for z, label in valid_rows(logits):
    expected += cross_entropy(z[4:], int(label == NUM_CLASSES)) / VALID.sum()
    if label == NUM_CLASSES:
      continue
    score = np.exp(z[:4]) / np.exp(z[:4]).sum()
    factor = np.ones(4)
    for j in range(4):
      n_i, n_j = max(samples[label], 1), max(samples[j], 1)
      if n_i > n_j:
        factor[j] *= (n_j / n_i) ** 0.8
      if score[j] > score[label]:
        factor[j] *= (score[j] / max(score[label], 0.01)) ** 2
        compensated += 1
    others = sum(factor[j] * np.exp(z[j]) for j in range(4) if j != label)
    expected += -np.log(np.exp(z[label]) / (np.exp(z[label]) + others)) / VALID.sum()
  assert compensated > 0
  made, state = seesaw.seesaw_loss(logits, LABELS, VALID, {'samples': jnp.asarray(before, jnp.float32)})
  assert made == pytest.approx(expected, rel=1e-5)
  np.testing.assert_array_equal(state['samples'], samples)


def test_scores_of_an_object_below_the_least_compensate_no_further():
  for own in (-20.0, -30.0):
    loss = seesaw.class_loss(jnp.array([[own, 0.0]]), jnp.array([0]), jnp.array([True]), jnp.ones(2), p=0.8, q=2.0)
    assert loss == pytest.approx(np.log(1 + (1 / 0.01) ** 2 * np.exp(-own)), rel=1e-5)


def test_padding():
  state = {'samples': jnp.array([100.0, 0.0, 5.0, 20.0, 1000.0])}
  padding_does_nothing(lambda *rows: seesaw.seesaw_loss(*rows, state), NUM_CLASSES + 2)


def test_is_mmdetections():
  recorded = op_case('losses', 'seesaw')
  logits, labels = jnp.asarray(recorded.inputs['pred']), jnp.asarray(recorded.inputs['labels'])
  valid = jnp.ones(len(labels), bool)
  state = seesaw.count_samples(seesaw.initial_state(6), labels, valid)
  np.testing.assert_array_equal(state['samples'], recorded.outputs['cum_samples'])

  def of_class(logits):
    return seesaw.class_loss(logits[:, :6], labels, valid, state['samples'][:-1])

  value, gradient = jax.jit(jax.value_and_grad(of_class))(logits)
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-6)
  objectness = seesaw.objectness_loss(logits[:, 6:], labels < 6, valid)
  np.testing.assert_allclose(objectness, recorded.outputs['loss_objectness'], rtol=1e-5)
  both, _ = seesaw.seesaw_loss(logits, labels, valid, seesaw.initial_state(6))
  np.testing.assert_allclose(both, value + objectness, rtol=1e-6)

  scores = seesaw.class_scores(logits)
  np.testing.assert_allclose(scores, recorded.outputs['activation'][:, :-1], rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(1 - scores.sum(-1), recorded.outputs['activation'][:, -1], rtol=1e-4, atol=1e-6)
