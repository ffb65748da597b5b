"""Overlap measures: by hand, on padding, and as recorded from Detectron2 and mmdetection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops import iou
from op_case import op_case
from parity_kit import case

MEASURES = {'iou': iou.iou, 'giou': iou.giou, 'diou': iou.diou, 'ciou': iou.ciou}

A = jnp.array([0.0, 0.0, 4.0, 2.0])  # area 8
B = jnp.array([2.0, 1.0, 6.0, 5.0])  # area 16, shares 2 x 1 with A; together they span 6 x 5


def test_by_hand():
  assert iou.iou(A, B) == pytest.approx(2 / 22)
  assert iou.giou(A, B) == pytest.approx(2 / 22 - 8 / 30)
  # Centres (2, 1) and (4, 3); the diagonal of 6 x 5.
  assert iou.diou(A, B) == pytest.approx(2 / 22 - 8 / 61)
  v = 4 / np.pi**2 * (np.arctan(1) - np.arctan(2)) ** 2
  assert iou.ciou(A, B) == pytest.approx(2 / 22 - 8 / 61 - v**2 / (1 - 2 / 22 + v))
  assert iou.ciou(A, B, aspect_above=0.5) == pytest.approx(2 / 22 - 8 / 61)


def test_iof_is_relative_to_the_first_box():
  assert iou.pairwise_iof(jnp.stack([A, B]), A[None]).tolist() == [[1.0], [2 / 16]]


def test_pairs_are_all_combinations():
  boxes = jnp.stack([A, B, A + 1])
  pairs = iou.pairwise_iou(boxes, boxes[:2])
  assert pairs.shape == (3, 2)
  assert pairs[2, 1] == iou.iou(A + 1, B)


@pytest.mark.parametrize('name', MEASURES)
@pytest.mark.parametrize('other', [jnp.zeros(4), B, jnp.array([3.0, 3, 3, 9])], ids=['zeros', 'box', 'line'])
def test_boxes_without_area_are_harmless(name, other):
  for pair in [(jnp.zeros(4), other), (other, jnp.zeros(4))]:
    value, gradients = jax.jit(jax.value_and_grad(MEASURES[name], argnums=(0, 1)))(*pair)
    assert np.isfinite(value) and np.isfinite(gradients).all()
    assert value <= 0


def test_pairs_are_detectron2s():
  arrays, _ = case('ops/d2_boxes')
  src, dst = jnp.asarray(arrays['src']), jnp.asarray(arrays['dst'])
  np.testing.assert_allclose(iou.pairwise_iou(src, dst), arrays['iou'], atol=1e-6)
  # Detectron2's "ioa" is relative to the second box.
  np.testing.assert_allclose(iou.pairwise_iof(dst, src).T, arrays['ioa'], atol=1e-6)


@pytest.mark.parametrize('name', ['iou', 'iof', 'giou'])
def test_overlaps_are_mmdetections(name):
  recorded = op_case('iou', f'overlaps_{name}')
  a, b = jnp.asarray(recorded.inputs['a']), jnp.asarray(recorded.inputs['b'])
  if name == 'iof':
    pairwise = iou.pairwise_iof(a, b)
    aligned = jnp.diagonal(pairwise)
  else:
    pairwise, aligned = MEASURES[name](a[:, None], b), MEASURES[name](a, b)
  np.testing.assert_allclose(pairwise, recorded.outputs['pairwise'], atol=1e-6)
  np.testing.assert_allclose(aligned, recorded.outputs['aligned'], atol=1e-6)
