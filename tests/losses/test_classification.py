"""Classification losses are optax's: they are what Detectron2 and mmdetection compute, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from op_case import op_case
from parity_kit import case


def focal(logits, targets):
  return optax.sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=2.0)


def test_focal_loss_by_hand():
  # p = 3/4: 0.25 * (1/4)^2 * -log(3/4) for a positive, 0.75 * (3/4)^2 * -log(1/4) for a negative.
  logit = jnp.log(3.0)
  assert focal(logit, 1.0) == pytest.approx(0.25 / 16 * np.log(4 / 3), rel=1e-5)
  assert focal(logit, 0.0) == pytest.approx(0.75 * 9 / 16 * np.log(4), rel=1e-5)


@pytest.mark.parametrize('loss', [focal, optax.sigmoid_binary_cross_entropy])
@pytest.mark.parametrize('target', [0.0, 1.0])
def test_certain_logits_have_finite_gradients(loss, target):
  logits = jnp.array([-200.0, -50.0, 0.0, 50.0, 200.0])
  values, gradients = jax.jit(jax.vmap(jax.value_and_grad(lambda x: loss(x, target))))(logits)
  assert np.isfinite(values).all() and np.isfinite(gradients).all()


@pytest.mark.parametrize('label', [-1, 1000])
def test_labels_of_padding_do_no_harm(label):
  """A row without object may have any label: what it costs is masked, and so is its gradient."""
  logits = jax.random.normal(jax.random.key(0), (5, 3))

  @jax.jit
  @jax.value_and_grad
  def total(logits, labels, valid):
    per_row = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.where(valid, per_row, 0.0).sum()

  labels = jnp.array([0, 1, 2, label, label])
  padded, gradient = total(logits, labels, jnp.arange(5) < 3)
  alone, alone_gradient = total(logits[:3], labels[:3], jnp.ones(3, bool))
  assert padded == pytest.approx(alone)
  np.testing.assert_allclose(gradient, jnp.pad(alone_gradient, ((0, 2), (0, 0))), rtol=1e-6)


def test_focal_loss_is_fvcores():
  arrays, _ = case('ops/d2_losses')
  logits, targets = jnp.asarray(arrays['focal_x']), jnp.asarray(arrays['focal_t'])
  np.testing.assert_allclose(jax.jit(focal)(logits, targets), arrays['focal'], rtol=1e-5, atol=1e-7)
  gradient = jax.jit(jax.grad(lambda x: focal(x, targets).sum()))(logits)
  np.testing.assert_allclose(gradient, arrays['focal_grad'], rtol=1e-4, atol=1e-7)


def softmax(logits, labels):
  class_weight = jnp.array([1.0, 2.0, 1.0, 1.0, 0.5, 1.0, 1.0])
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels) * class_weight[labels]
  return jnp.where(labels >= 0, loss, 0.0)  # one row has label -100, which torch ignores


def one_hot(loss):
  """Labels become one column each; background, behind the last, becomes none."""
  return lambda logits, labels: loss(logits, jax.nn.one_hot(labels, logits.shape[1])).sum(-1)


@pytest.mark.parametrize(
  'name, loss',
  [
    ('focal', one_hot(focal)),
    ('cross_entropy', softmax),
    ('binary_cross_entropy', one_hot(optax.sigmoid_binary_cross_entropy)),
  ],
)
def test_losses_are_mmdetections(name, loss):
  recorded = op_case('losses', name)
  inputs = recorded.inputs

  def total(logits):
    return (loss(logits, jnp.asarray(inputs['labels'])) * inputs['weight']).sum() / recorded.args['avg_factor']

  value, gradient = jax.jit(jax.value_and_grad(total))(jnp.asarray(inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-6)


def test_mask_loss_is_mmdetections():
  recorded = op_case('losses', 'mask_cross_entropy')
  labels, target = recorded.inputs['labels'], recorded.inputs['target']

  def loss(logits):
    return optax.sigmoid_binary_cross_entropy(logits[np.arange(5), labels], target).mean()

  value = loss(jnp.asarray(recorded.inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'][0], rtol=1e-5)
