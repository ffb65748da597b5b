"""RoIAlign: both forms against a loop over samples, against Detectron2 and mmcv, and at the edges of its definition."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from roi_samples import bilinear, random_rois

from jaxdet.ops import roi_align as module
from jaxdet.ops import roi_align_gather, roi_align_matmul, roi_align_window
from jaxdet.ops.roi_align import multilevel_roi_align, roi_align
from parity_kit import case, recipe

FORMS = {'matmul': roi_align_matmul, 'window': roi_align_window, 'gather': roi_align_gather}


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
  monkeypatch.setattr(module, '_form', FORMS[request.param])
  with jax.default_matmul_precision('highest'):
    yield request.param


def loop_over_samples(feature, roi, stride, bins, ratio, aligned):
  """The definition: [p, q, C] for one RoI."""
  offset, smallest = (0.5, 0.0) if aligned else (0.0, 1.0)
  x1, y1, x2, y2 = np.asarray(roi, np.float64) / stride - offset
  size = max(y2 - y1, smallest), max(x2 - x1, smallest)
  ny, nx = (ratio or math.ceil(s / b) for s, b in zip(size, bins, strict=True))
  out = np.zeros((*bins, feature.shape[-1]))
  for p, q in np.ndindex(*bins):
    for i, j in np.ndindex(ny, nx):
      y = y1 + size[0] / bins[0] * (p + (i + 0.5) / ny)
      x = x1 + size[1] / bins[1] * (q + (j + 0.5) / nx)
      out[p, q] += bilinear(feature, y, x) / (ny * nx)
  return out


@pytest.mark.parametrize('bins, ratio, aligned', [(7, 0, True), (7, 0, False), ((3, 5), 2, True), ((1, 4), 3, False)])
def test_equals_a_loop_over_samples(form, bins, ratio, aligned):
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2, 40, 70, 3)).astype(np.float32)
  rois = np.stack([random_rois(rng, 70, 320, 560) for _ in range(2)])
  out = jax.jit(lambda f, r: roi_align(f, r, stride=8, output_size=bins, sampling_ratio=ratio, aligned=aligned))(
    features, rois
  )
  shape = (bins, bins) if isinstance(bins, int) else bins
  for b in range(2):
    for r in range(70):
      expected = loop_over_samples(features[b].astype(np.float64), rois[b, r], 8, shape, ratio, aligned)
      np.testing.assert_allclose(out[b, r], expected, atol=2e-5, err_msg=f'RoI {rois[b, r]}')


@pytest.mark.parametrize('ratio', [0, 2])
def test_samples_exactly_on_the_cut_off_count(form, ratio):
  feature = np.ones((1, 5, 5, 1), np.float32)
  # Along x the RoI is one bin around the column 2; along y one of its samples is at -1 or at 5 for some of the bins.
  starts_and_sizes = [(-1.25, 0.5), (-1.5, 1.0), (4.5, 1.0), (4.75, 0.5), (-3.0, 4.0), (3.0, 4.0), (-2.5, 3.0)]
  for bins in (1, 4):
    rois = np.array([[2.0, s + 0.5, 3.0, s + size + 0.5] for s, size in starts_and_sizes], np.float32)
    pool = jax.jit(lambda r, p=bins: roi_align(feature, r, stride=1, output_size=(p, 1), sampling_ratio=ratio))
    out = pool(rois[None])
    for r, roi in enumerate(rois):
      expected = loop_over_samples(feature[0], roi, 1, (bins, 1), ratio, True)
      np.testing.assert_allclose(out[0, r], expected, atol=1e-6, err_msg=f'{bins} bins, {roi}')


def test_whole_feature_pixels_reproduce_the_map(form):
  feature = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
  out = roi_align(feature, np.array([[[0, 0, 8, 6]]], np.float32), stride=2, output_size=(3, 4))
  np.testing.assert_allclose(out[0, 0], feature[0], atol=1e-6)


def test_one_sample_between_pixels_by_hand(form):
  feature = np.array([[0, 1], [10, 11]], np.float32).reshape(1, 2, 2, 1)
  roi = np.array([[[0.25, 0.5, 1.25, 1.5]]], np.float32)  # centre at pixel position y 0.5, x 0.25
  out = roi_align(feature, roi, stride=1, output_size=1)
  assert out[0, 0, 0, 0, 0] == pytest.approx(5.25)


def test_number_of_samples_rounds_up_exactly(form):
  # 14 pixels in 7 bins are two samples a bin; a third would see the peak in another share.
  feature = np.zeros((1, 20, 20, 1), np.float32)
  feature[0, 5, 5] = 1
  rois = np.array([[0, 0, size, size] for size in (7, 14, 21)], np.float32)
  out = jax.jit(lambda r: roi_align(feature, r[None], stride=1, output_size=7))(rois)
  for r, roi in enumerate(rois):
    np.testing.assert_allclose(out[0, r], loop_over_samples(feature[0], roi, 1, (7, 7), 0, True), atol=1e-6)


def test_rois_without_extent_are_harmless(form):
  features = jnp.ones((1, 6, 6, 2))
  rois = jnp.array([[[0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 2, 2], [1e6, 1e6, 2e6, 2e6]]], jnp.float32)
  for ratio, aligned in [(0, True), (2, True), (0, False)]:

    def total(f, r, ratio=ratio, aligned=aligned):
      return roi_align(f, r, stride=4, output_size=2, sampling_ratio=ratio, aligned=aligned).sum()

    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(features, rois)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    if ratio == 0 and aligned:
      assert value == 0.0


def test_rois_get_no_gradient(form):
  features = jnp.arange(36.0).reshape(1, 6, 6, 1)
  rois = jnp.array([[[1.0, 1.0, 4.0, 3.0]]])
  gradient = jax.jit(jax.grad(lambda r: roi_align(features, r, stride=1, output_size=2).sum()))(rois)
  np.testing.assert_array_equal(gradient, 0)


def test_sums_of_bfloat16_features_are_float32(form):
  features = jnp.ones((1, 20, 640, 1), jnp.bfloat16)
  rois = jnp.tile(jnp.array([0.0, 0.0, 640.0, 20.0]), (1, 320, 1))

  def pool(f):
    return roi_align(f, rois, stride=1, output_size=1)

  np.testing.assert_array_equal(jax.jit(pool)(features), 1)
  # Every cell is in 320 regions, of each a 12,800th; in bfloat16 a sum of equal parts stops growing after some 256.
  gradient = jax.jit(jax.grad(lambda f: pool(f).astype(jnp.float32).sum()))(features)
  np.testing.assert_allclose(gradient[0, 5, 5:-5, 0].astype(jnp.float32), 320 / 12_800, rtol=2**-7)


def test_bfloat16_features_give_what_float32_gives(form):
  # Sums are those of float32, but for their order, so that one may round to the next bfloat16. Matrix units take
  # weights in the features' type: 8 bits of each weight, and of the sums along one axis, remain.
  tolerance, step = (2**-6, 0.0) if form == 'matmul' else (0.0, 2**-7)
  rng = np.random.default_rng(1)
  features = jnp.asarray(rng.normal(size=(1, 20, 30, 4)), jnp.bfloat16)
  rois = jnp.asarray(random_rois(rng, 20, 160, 240))[None]

  @jax.jit
  def pool(f):
    return roi_align(f, rois, stride=8, output_size=3)

  out = pool(features)
  assert out.dtype == jnp.bfloat16
  exact = pool(features.astype(jnp.float32)).astype(jnp.bfloat16)
  np.testing.assert_allclose(out, exact, rtol=step, atol=tolerance)
  assert form == 'matmul' or (out == exact).mean() > 0.99

  gradient = jax.jit(jax.grad(lambda f: pool(f).astype(jnp.float32).sum()))
  assert gradient(features).dtype == jnp.bfloat16
  exact = gradient(features.astype(jnp.float32)).astype(jnp.bfloat16)
  np.testing.assert_allclose(gradient(features), exact, rtol=tolerance + step, atol=tolerance)


def test_float64_features_are_pooled(form):
  with jax.enable_x64(True):
    features = jnp.ones((1, 80, 96, 2), jnp.float64)  # larger than the windows
    rois = jnp.array([[[8, 8, 40, 24], [0, 0, 380, 300]]], jnp.float64)

    def pool(f):
      return roi_align(f, rois, stride=4, output_size=3)

    out = jax.jit(pool)(features)
    gradient = jax.jit(jax.grad(lambda f: pool(f).sum()))(features)
  assert out.dtype == gradient.dtype == np.float64
  np.testing.assert_allclose(out, 1, rtol=1e-6)
  np.testing.assert_allclose(np.asarray(gradient).sum(), out.size, rtol=1e-6)


def test_the_gradient_is_the_transpose(form):
  rng = np.random.default_rng(2)
  features = {l: jnp.asarray(rng.normal(size=(2, 320 // 2**l, 448 // 2**l, 3)), jnp.float32) for l in (2, 3, 4)}
  rois = jnp.stack([random_rois(rng, 40, 320, 448) for _ in range(2)])

  @jax.jit
  def pool(f):
    return multilevel_roi_align(f, rois, output_size=4, canonical_size=56, canonical_level=3)

  probe = jnp.asarray(rng.normal(size=(2, 40, 4, 4, 3)), jnp.float32)
  gradients = jax.jit(lambda f: jax.vjp(pool, f)[1](probe)[0])(features)
  # <g, A x> = <A^T g, x> for a linear A, at features other than the ones differentiated at.
  other = {l: jnp.asarray(rng.normal(size=f.shape), jnp.float32) for l, f in features.items()}
  forward = float((pool(other) * probe).sum())
  backward = sum(float((gradients[l] * other[l]).sum()) for l in features)
  assert forward == pytest.approx(backward, rel=1e-4, abs=1e-3)


def test_each_roi_is_pooled_on_its_level(form):
  features = {l: jnp.full((1, 512 // 2**l, 512 // 2**l, 1), float(l)) for l in (2, 3, 4, 5)}
  rois = jnp.array([[[0, 0, 20, 20], [0, 0, 112, 112], [0, 0, 224, 224], [0, 0, 448, 448], [0, 0, 500, 8]]])
  out = jax.jit(lambda f, r: multilevel_roi_align(f, r, output_size=2))(features, rois.astype(jnp.float32))
  np.testing.assert_allclose(out[0, :, 0, 0, 0], [2, 3, 4, 5, 2], rtol=1e-6)


def test_a_gap_in_the_pyramid_is_an_error():
  features = {2: jnp.zeros((1, 8, 8, 1)), 4: jnp.zeros((1, 2, 2, 1))}
  with pytest.raises(ValueError, match=r'consecutive, got \[2, 4\]'):
    multilevel_roi_align(features, jnp.zeros((1, 1, 4)), output_size=2)


def pool_by_image(features, rois, **settings):
  """Pools RoIs [R, 5] with an image index in column 0, as upstream passes them, from NHWC features."""
  batch = jnp.broadcast_to(rois[:, 1:], (features.shape[0], len(rois), 4))
  return roi_align(features, batch, **settings)[rois[:, 0].astype(int), np.arange(len(rois))]


def output_and_gradient(features, rois, cotangents, **settings):
  """Both in upstream's channels-first order."""

  @jax.jit
  def run(features, cotangents):
    out, pull_back = jax.vjp(lambda f: pool_by_image(f, rois, **settings), features)
    return out, *pull_back(cotangents)

  out, gradient = run(features.transpose(0, 2, 3, 1), cotangents.transpose(0, 2, 3, 1))
  return np.asarray(out).transpose(0, 3, 1, 2), np.asarray(gradient).transpose(0, 3, 1, 2)


def test_equals_detectron2(form):
  arrays, _ = case('ops/d2_roi_align')
  features = recipe().normal('ops|roi_align|x', (2, 8, 24, 32)).astype(np.float32)
  rois = arrays['rois']
  for key in [name.removeprefix('out/') for name in arrays if name.startswith('out/')]:
    size, ratio, aligned = key.rsplit('_', 2)
    size = (3, 5) if size == '(3,5)' else (int(size), int(size))
    cotangents = recipe().normal('ops|roi_align|g', (len(rois), 8, *size)).astype(np.float32)
    out, gradient = output_and_gradient(
      features,
      rois,
      cotangents,
      stride=8,
      output_size=size,
      sampling_ratio=int(ratio),
      aligned=aligned == 'True',
    )
    np.testing.assert_allclose(out[:, :3], arrays[f'out/{key}'], atol=1e-5, err_msg=key)
    np.testing.assert_allclose(gradient[:, :3], arrays[f'grad/{key}'], atol=1e-4, err_msg=key)


def test_equals_mmcv(form):
  arrays, meta = case('ops/roi_align')
  for entry in (c for c in meta['cases'] if c['name'].endswith('out7')):
    name, args = entry['name'], entry['args']
    spec = entry['inputs']['features']
    features = recipe().normal(spec['normal'], spec['shape']).astype(np.float32)
    cotangents = recipe().normal(f'{name}|cotangent', entry['outputs']['out']['shape']).astype(np.float32)
    settings = {
      'stride': round(1 / args['spatial_scale']),
      'output_size': args['output_size'],
      'sampling_ratio': args['sampling_ratio'],
      'aligned': args['aligned'],
    }
    out, gradient = output_and_gradient(features, arrays[f'{name}/in/rois'], cotangents, **settings)
    for key, value, tolerance in (('out', out, 1e-5), ('grad/features', gradient, 1e-4)):
      golden = arrays[f'{name}/{key}']
      if golden.shape != value.shape:
        value = value.reshape(-1)[recipe().sample_indices(value.size)]
      np.testing.assert_allclose(value, golden, atol=tolerance, err_msg=f'{name} {key}')


def test_equals_mmdetections_extractor(form):
  arrays, meta = case('ops/roi_levels')
  (entry,) = [c for c in meta['cases'] if c['name'] == 'single_roi_extractor']
  rois = arrays['single_roi_extractor/in/rois']
  features = {}
  for level in (2, 3, 4, 5):
    spec = entry['inputs'][f'x{level - 2}']
    features[level] = recipe().normal(spec['normal'], spec['shape']).astype(np.float32).transpose(0, 2, 3, 1)
  batch = jnp.broadcast_to(rois[:, 1:], (2, len(rois), 4))
  out = jax.jit(lambda f, r: multilevel_roi_align(f, r, output_size=7))(features, batch)
  out = out[rois[:, 0].astype(int), np.arange(len(rois))]
  np.testing.assert_allclose(out.transpose(0, 3, 1, 2), arrays['single_roi_extractor/out'], atol=1e-5)
