"""Deformable RoI pooling against a loop over samples, against RoIAlign and against recorded values of mmcv."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from roi_samples import bilinear, random_rois

from jaxdet.ops.deformable_roi_pool import deformable_roi_pool
from jaxdet.ops.roi_align import multilevel_roi_align
from op_case import op_case
from parity_kit import recipe


def loop_over_samples(feature, roi, offsets, stride, ratio):
  """The definition: [p, q, C] for one RoI, whose bins are moved by offsets [p, q, 2] of its height and width."""
  bins = offsets.shape[:2]
  x1, y1, x2, y2 = np.asarray(roi, np.float64) / stride - 0.5
  height, width = max(y2 - y1, 0.0), max(x2 - x1, 0.0)
  ny, nx = ratio or math.ceil(height / bins[0]), ratio or math.ceil(width / bins[1])
  out = np.zeros((*bins, feature.shape[-1]))
  for p, q in np.ndindex(*bins):
    dy, dx = offsets[p, q] * (height, width)
    for i, j in np.ndindex(ny, nx):
      y = y1 + dy + height / bins[0] * (p + (i + 0.5) / ny)
      x = x1 + dx + width / bins[1] * (q + (j + 0.5) / nx)
      out[p, q] += bilinear(feature, y, x) / (ny * nx)
  return out


def pyramid(rng, channels=3):
  return {l: rng.normal(size=(2, 160 >> l, 256 >> l, channels)).astype(np.float32) for l in (2, 3, 4)}


@pytest.mark.parametrize('bins, ratio', [((7, 7), 0), ((2, 3), 0), ((3, 2), 2)])
def test_equals_a_loop_over_samples(bins, ratio):
  rng = np.random.default_rng(0)
  features = pyramid(rng)
  rois = np.stack([random_rois(rng, 30, 160, 256) for _ in range(2)])
  offsets = rng.normal(scale=0.2, size=(2, 30, *bins, 2)).astype(np.float32)
  pool = jax.jit(lambda f, r, o: deformable_roi_pool(f, r, o, sampling_ratio=ratio, canonical_size=56))
  out = pool(features, rois, offsets)
  levels = set()
  for b, r in np.ndindex(2, 30):
    side = math.sqrt(np.prod(np.maximum(rois[b, r, 2:] - rois[b, r, :2], 0)))
    level = min(max(math.floor(4 + math.log2(side / 56 + 1e-8)), 2), 4)
    levels.add(level)
    expected = loop_over_samples(features[level][b].astype(np.float64), rois[b, r], offsets[b, r], 2**level, ratio)
    np.testing.assert_allclose(out[b, r], expected, atol=2e-5, err_msg=f'RoI {rois[b, r]}')
  assert levels == {2, 3, 4}


def test_without_offsets_it_is_roi_align():
  rng = np.random.default_rng(1)
  features = pyramid(rng)
  rois = np.stack([random_rois(rng, 40, 160, 256) for _ in range(2)])
  found = deformable_roi_pool(features, rois, np.zeros((2, 40, 7, 7, 2), np.float32))
  np.testing.assert_allclose(found, multilevel_roi_align(features, rois, output_size=7), atol=2e-5)


def test_a_bin_moved_by_hand():
  # Two bins of 2 x 2 cells side by side, read at (0.5, 1), (0.5, 2), ..; the second is moved up by half a cell.
  feature = np.arange(24, dtype=np.float32).reshape(1, 4, 6, 1)
  rois = np.array([[[1, 1, 5, 3]]], np.float32)
  offsets = np.zeros((1, 1, 1, 2, 2), np.float32)
  offsets[0, 0, 0, 1] = (-0.25, 0.25)
  out = deformable_roi_pool({0: feature}, rois, offsets)[0, 0, 0, :, 0]
  # Means of cells (1..2, 1..2), and of (0.5..1.5, 4..5): 6 * row + column.
  np.testing.assert_allclose(out, [6 * 1.5 + 1.5, 6 * 1.0 + 4.5], rtol=1e-6)


@pytest.mark.parametrize('name', ['ratio0', 'ratio2'])
def test_equals_mmcv_and_its_gradients(name):
  case = op_case('deform_roi_pool', name)
  features = case.inputs['features'].transpose(0, 2, 3, 1)
  image, boxes = case.inputs['rois'][:, 0].astype(int), case.inputs['rois'][:, 1:]
  rois, offsets = np.zeros((2, 12, 4), np.float32), np.zeros((2, 12, 7, 7, 2), np.float32)
  rois[image, np.arange(12)] = boxes
  # mmcv has (x, y) before the bins, and scales by gamma itself.
  offsets[image, np.arange(12)] = case.args['gamma'] * case.inputs['offset'].transpose(0, 2, 3, 1)[..., ::-1]
  cotangent = case.cotangent(case.outputs['out'].shape).transpose(0, 2, 3, 1)

  def total(features, offsets):
    out = deformable_roi_pool({3: features}, rois, offsets, sampling_ratio=case.args['sampling_ratio'])
    out = out[image, np.arange(12)]
    return (out * cotangent).sum(), out

  (by_features, by_offsets), out = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(features, offsets)
  np.testing.assert_allclose(out, case.outputs['out'].transpose(0, 2, 3, 1), atol=1e-5)
  expected = case.args['gamma'] * np.asarray(by_offsets)[image, np.arange(12)][..., ::-1]
  golden = case.outputs['grad/offset'].transpose(0, 2, 3, 1)
  np.testing.assert_allclose(expected, golden, atol=2e-5 * np.abs(golden).max())
  by_features = np.asarray(by_features).transpose(0, 3, 1, 2).ravel()
  golden = case.outputs['grad/features']
  found = by_features[recipe().sample_indices(by_features.size)]
  np.testing.assert_allclose(found, golden, atol=1e-5 * np.abs(golden).max())


def test_gradients_are_those_of_the_differences():
  rng = np.random.default_rng(2)
  features = {3: rng.normal(size=(1, 20, 20, 2))}
  rois = np.array([[[20.0, 30.0, 90.0, 120.0], [0.0, 0.0, 0.0, 0.0], [60.0, 10.0, 75.0, 140.0]]])
  offsets, direction = rng.normal(scale=0.05, size=(2, 1, 3, 2, 2, 2))
  weight = rng.normal(size=(1, 3, 2, 2, 2))
  with jax.enable_x64(True):
    total = jax.jit(lambda o: (deformable_roi_pool(features, rois, o) * weight).sum())
    step = 1e-6
    difference = (total(offsets + step * direction) - total(offsets - step * direction)) / (2 * step)
    np.testing.assert_allclose((jax.grad(total)(jnp.asarray(offsets)) * direction).sum(), difference, rtol=1e-5)


def test_rois_without_extent_are_harmless():
  features = {2: jnp.ones((1, 6, 6, 2))}
  rois = jnp.array([[[0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 2, 2]]], jnp.float32)
  offsets = jnp.ones((1, 3, 2, 2, 2))
  out, gradients = jax.value_and_grad(lambda f, o: deformable_roi_pool(f, rois, o).sum(), (0, 1))(features, offsets)
  assert out == 0.0
  assert all((g == 0).all() for g in jax.tree.leaves(gradients))


def test_sums_are_float32():
  rng = np.random.default_rng(3)
  features = {3: jnp.asarray(rng.normal(size=(1, 20, 20, 2)), jnp.bfloat16)}
  rois, offsets = np.array([[[3, 3, 150, 140]]], np.float32), np.full((1, 1, 2, 2, 2), 0.03, np.float32)
  found = deformable_roi_pool(features, rois, offsets)
  assert found.dtype == jnp.bfloat16
  wide = deformable_roi_pool({3: features[3].astype(jnp.float32)}, rois, offsets)
  np.testing.assert_allclose(found.astype(jnp.float32), wide, rtol=2**-8)


def test_levels_must_be_consecutive():
  features = {2: jnp.ones((1, 8, 8, 1)), 4: jnp.ones((1, 2, 2, 1))}
  with pytest.raises(ValueError, match=r'consecutive, got \[2, 4\]'):
    deformable_roi_pool(features, jnp.zeros((1, 1, 4)), jnp.zeros((1, 1, 2, 2, 2)))
