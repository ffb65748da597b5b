"""Box regression losses: by hand, on padding, and as recorded from Detectron2 and mmdetection, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses import box_regression as losses
from op_case import op_case
from parity_kit import case

PER_BOX = {'iou': losses.iou_loss, 'giou': losses.giou_loss, 'diou': losses.diou_loss, 'ciou': losses.ciou_loss}


def test_smooth_l1_by_hand():
  distance = jnp.array([-2.0, -0.25, 0.0, 0.5])
  assert losses.smooth_l1(distance, jnp.zeros(4), 0.5).tolist() == [1.75, 0.0625, 0.0, 0.25]
  assert losses.smooth_l1(distance, jnp.zeros(4), 0.0).tolist() == [2.0, 0.25, 0.0, 0.5]


@pytest.mark.parametrize('beta', [0.0, 0.5])
def test_the_gradient_of_smooth_l1_is_0_at_0(beta):
  gradient = jax.grad(lambda x: losses.smooth_l1(x, jnp.zeros(3), beta).sum())(jnp.array([-2.0, 0.0, 2.0]))
  assert gradient.tolist() == [-1.0, 0.0, 1.0]


def test_equal_boxes_cost_nothing_and_distant_ones_most():
  box = jnp.array([10.0, 10, 20, 30])
  for loss in PER_BOX.values():
    assert loss(box, box) == pytest.approx(0.0, abs=1e-6)
  assert losses.giou_loss(box, box + 1e4) == pytest.approx(2.0, abs=1e-3)
  assert losses.iou_loss(box, box + 1e4) == pytest.approx(-np.log(1e-6))
  assert losses.iou_loss(box, box + 1e4, 'linear') == pytest.approx(1.0, abs=1e-5)
  with pytest.raises(ValueError, match="'cubic'"):
    losses.iou_loss(box, box, 'cubic')


def test_the_penalty_for_the_aspect_ratio_can_be_gated():
  wide, tall = jnp.array([0.0, 0, 40, 10]), jnp.array([0.0, 0, 10, 40])
  assert losses.ciou_loss(wide, tall) > losses.diou_loss(wide, tall)
  assert losses.ciou_loss(wide, tall, aspect_above=0.5) == losses.diou_loss(wide, tall)


@pytest.mark.parametrize('name', [*PER_BOX, 'bounded_iou'])
def test_rows_of_zeros_do_no_harm(name):
  loss = getattr(losses, f'{name}_loss')
  pred, target = jnp.array([[0.0, 0, 10, 10]] * 3), jnp.array([[2.0, 2, 12, 9]] * 3)

  @jax.jit
  @jax.value_and_grad
  def total(pred, target, valid):
    per_row = loss(pred, target).reshape(len(pred), -1).sum(-1)
    return jnp.where(valid, per_row, 0.0).sum()

  alone, gradient = total(pred, target, jnp.ones(3, bool))
  padded_target, valid = jnp.pad(target, ((0, 2), (0, 0))), jnp.arange(5) < 3
  for rows in (jnp.zeros((2, 4)), pred[:2]):
    padded, padded_gradient = total(jnp.concatenate([pred, rows]), padded_target, valid)
    assert float(padded) == pytest.approx(float(alone))
    np.testing.assert_allclose(padded_gradient[:3], gradient, rtol=1e-6)
    np.testing.assert_array_equal(padded_gradient[3:], 0)


@pytest.mark.parametrize('name', ['giou', 'diou', 'ciou'])
def test_losses_are_detectron2s(name):
  arrays, _ = case('ops/d2_losses')
  a, b = arrays['a'], arrays['b']
  np.testing.assert_allclose(jax.jit(PER_BOX[name])(a, b), arrays[f'{name}/loss'], rtol=1e-5, atol=1e-6)
  gradient = jax.jit(jax.grad(lambda a: PER_BOX[name](a, b).sum()))(a)
  np.testing.assert_allclose(gradient, arrays[f'{name}/grad'], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('beta', [0.0, 0.11, 1.0])
def test_smooth_l1_is_fvcores(beta):
  arrays, _ = case('ops/d2_losses')
  made = losses.smooth_l1(arrays['a'] / 50, arrays['b'] / 50, beta)
  np.testing.assert_allclose(made, arrays[f'smooth_l1/{beta}'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name, beta', [('smooth_l1', 0.11), ('l1', 0.0)])
def test_smooth_l1_is_mmdetections(name, beta):
  recorded = op_case('losses', name)
  inputs, factor = recorded.inputs, recorded.args['avg_factor']

  def loss(pred):
    return (losses.smooth_l1(pred, inputs['target'], beta) * inputs['weight']).sum() / factor

  value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(inputs['pred']))
  np.testing.assert_allclose(value, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-7)


def test_balanced_l1_is_mmdetections():
  recorded = op_case('losses', 'balanced_l1')
  pred, target, weight = (recorded.inputs[name] for name in ('pred', 'target', 'weight'))

  @jax.jit
  @jax.value_and_grad
  def total(pred):
    each = losses.balanced_l1(pred, target, alpha=0.5, gamma=1.5, beta=1.0)
    return (each * weight).sum() / recorded.args['avg_factor']

  loss, gradient = total(pred)
  np.testing.assert_allclose(loss, recorded.outputs['loss'], rtol=1e-5)
  np.testing.assert_allclose(gradient * recorded.cotangent(()), recorded.outputs['grad/pred'], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('beta', [0.11, 1.0])
def test_balanced_l1_by_hand(beta):
  b = np.exp(3) - 1
  near, far = 0.05, 2.0
  expected = [0.5 / b * (b * near + 1) * np.log(b * near / beta + 1) - 0.5 * near, 3 + 1.5 / b - 0.5 * beta, 0]
  found = losses.balanced_l1(jnp.array([near, -far, 0]), jnp.zeros(3), 0.5, 1.5, beta)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
  'name, loss',
  [
    ('IoULoss_log', losses.iou_loss),
    ('IoULoss_linear', lambda a, b: losses.iou_loss(a, b, 'linear')),
    ('IoULoss_square', lambda a, b: losses.iou_loss(a, b, 'square')),
    ('BoundedIoULoss_', losses.bounded_iou_loss),
    ('GIoULoss_', losses.giou_loss),
    ('DIoULoss_', losses.diou_loss),
    ('CIoULoss_', lambda a, b: losses.ciou_loss(a, b, aspect_above=0.5)),
  ],
)
def test_losses_are_mmdetections(name, loss):
  recorded = op_case('iou', f'loss_{name}')
  a, b = recorded.inputs['a'], recorded.inputs['b']
  expected = recorded.outputs['loss']
  # Upstream's CIoU loss of two equal boxes is 0 / 0.
  rows = np.isfinite(expected.reshape(20, -1)).all(-1)
  made = jax.jit(loss)(a, b)
  assert np.isfinite(made).all() and rows.sum() >= 19
  np.testing.assert_allclose(made[rows], expected[rows], rtol=1e-5, atol=1e-6)
  cotangent = recorded.cotangent(expected.shape)
  gradient = jax.jit(jax.grad(lambda a: (loss(a, b) * cotangent).sum()))(a)
  np.testing.assert_allclose(gradient[rows], recorded.outputs['grad/a'][rows], rtol=1e-4, atol=1e-6)


def test_a_weighted_iou_loss_counts_rows_by_their_weights():
  boxes = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [np.nan, np.inf, 0, 0]])
  objects = jnp.array([[0.0, 0, 10, 5], [0, 0, 5, 5], [0, 0, 0, 0]])
  weights = jnp.array([0.5, 2.0, 0.0])

  def total(boxes):
    return losses.weighted_iou_loss(boxes, objects, weights, {'name': 'iou', 'weight': 3.0})

  assert total(boxes) == pytest.approx(3 * (0.5 * np.log(2) + 2 * np.log(4)), rel=1e-5)
  gradient = jax.grad(total)(boxes)
  assert np.isfinite(gradient).all() and gradient[2].tolist() == [0.0] * 4
  with pytest.raises(ValueError, match="'smooth_l1'"):
    losses.weighted_iou_loss(boxes, objects, weights, {'name': 'smooth_l1', 'weight': 1.0})
