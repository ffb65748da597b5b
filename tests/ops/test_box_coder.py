"""Box coders: by hand, there and back, on padding, and as recorded from Detectron2 and mmdetection."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops import box_coder, boxes
from jaxdet.ops.box_coder import Deltas, make_coder
from op_case import op_case
from parity_kit import case

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
UNIT = (1.0, 1.0, 1.0, 1.0)
CODER = Deltas(WEIGHTS, 'max')

BOX = jnp.array([[10.0, 20.0, 30.0, 60.0]])  # 20 x 40 around (20, 40)
TARGET = jnp.array([[20.0, 20.0, 60.0, 40.0]])  # 40 x 20 around (40, 30)


def test_deltas_by_hand():
  deltas = CODER.encode(BOX, TARGET)
  expected = [[10 * 1.0, 10 * -0.25, 5 * math.log(2), -5 * math.log(2)]]
  np.testing.assert_allclose(deltas, expected, rtol=1e-6)


def test_decoding_inverts_encoding():
  np.testing.assert_allclose(CODER.decode(CODER.encode(BOX, TARGET), BOX), TARGET, rtol=1e-6)
  sides = box_coder.encode_sides(BOX, TARGET, relative=True)
  assert sides.tolist() == [[0.0, 0.5, 2.0, 0.0]]
  np.testing.assert_allclose(box_coder.decode_sides(sides, BOX, relative=True), TARGET)


@pytest.mark.parametrize('clamp, shrunk', [('max', math.exp(-9)), ('symmetric', 16 / 1000)])
def test_scales_are_clamped_after_the_weights(clamp, shrunk):
  deltas = jnp.array([[0.0, 0.0, 5 * 9.0, 5 * -9.0]])
  decoded = Deltas(WEIGHTS, clamp).decode(deltas, BOX)[0]
  assert decoded[2] - decoded[0] == pytest.approx(20 * 1000 / 16)
  assert decoded[3] - decoded[1] == pytest.approx(40 * shrunk, rel=1e-3)


def test_coders_are_found_by_name():
  settings = {'name': 'deltas', 'weights': WEIGHTS, 'scale_clamp': 'max'}
  assert make_coder(settings) == CODER
  with pytest.raises(ValueError, match="unknown coder 'delta'; the nearest is 'deltas'"):
    make_coder(settings | {'name': 'delta'})
  with pytest.raises(ValueError, match="unknown scale_clamp 'below'"):
    make_coder(settings | {'scale_clamp': 'below'})


def test_class_specific_deltas_broadcast():
  deltas = jax.random.normal(jax.random.key(0), (7, 3, 4))
  anchors = jnp.tile(BOX, (7, 1)) + jnp.arange(7)[:, None]
  decoded = CODER.decode(deltas, anchors[:, None])
  np.testing.assert_allclose(decoded[:, 1], CODER.decode(deltas[:, 1], anchors), rtol=1e-6)


def test_decoding_is_in_float32():
  assert CODER.decode(jnp.zeros((1, 4), jnp.bfloat16), BOX).dtype == jnp.float32


@pytest.mark.parametrize('pair', [(jnp.zeros((1, 4)), TARGET), (BOX, jnp.zeros((1, 4))), (jnp.zeros((1, 4)),) * 2])
def test_boxes_without_area_are_harmless(pair):
  for encode in (
    lambda a, b: CODER.encode(a, b).sum(),
    lambda a, b: box_coder.encode_sides(a, b, True).sum(),
    lambda a, b: CODER.decode(jnp.ones((1, 4)), a).sum(),
  ):
    value, gradients = jax.jit(jax.value_and_grad(encode, argnums=(0, 1)))(*pair)
    assert np.isfinite(value) and np.isfinite(gradients).all()


@pytest.mark.parametrize('weight', [10, 1, 20, 30])
def test_deltas_are_detectron2s(weight):
  arrays, _ = case('ops/d2_boxes')
  coder = Deltas((weight, weight, weight / 2, weight / 2) if weight > 1 else UNIT, 'max')
  src, dst = jnp.asarray(arrays['src']), jnp.asarray(arrays['dst'])
  np.testing.assert_allclose(coder.encode(src, dst), arrays[f'get/{weight}'], rtol=1e-5, atol=1e-5)
  deltas = jnp.asarray(arrays['deltas']).reshape(32, 2, 4)
  decoded = coder.decode(deltas, src[:, None]).reshape(32, 8)
  np.testing.assert_allclose(decoded, arrays[f'apply/{weight}'], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize('relative', [True, False])
def test_distances_are_detectron2s(relative):
  arrays, _ = case('ops/d2_boxes')
  src, dst = jnp.asarray(arrays['src']), jnp.asarray(arrays['dst'])
  encoded = box_coder.encode_sides(src, dst, relative)
  np.testing.assert_allclose(encoded, arrays[f'linear_get/{relative}'], rtol=1e-5, atol=1e-4)
  decoded = box_coder.decode_sides(jnp.asarray(arrays['deltas'][:, :4]), src, relative)
  np.testing.assert_allclose(decoded, arrays[f'linear_apply/{relative}'], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
  'name, form',
  [
    ('delta_xywh', {'scale_clamp': 'symmetric'}),
    ('delta_xywh_unit', {'scale_clamp': 'symmetric'}),
    ('delta_xywh_classes', {'scale_clamp': 'symmetric'}),
    ('delta_xywh_no_clip', {'scale_clamp': 'symmetric'}),
    ('delta_xywh_ctr_clamp', {'scale_clamp': 'max', 'max_shift': 32.0}),
    ('legacy_delta_xywh', {'scale_clamp': 'symmetric', 'legacy_plus_one': True}),
  ],
)
def test_deltas_are_mmdetections(name, form):
  recorded = op_case('coders', name)
  priors, objects = jnp.asarray(recorded.inputs['boxes']), jnp.asarray(recorded.inputs['gts'])
  coder = Deltas(tuple(1 / std for std in recorded.args.get('target_stds', UNIT)), **form)
  encoded = coder.encode(priors, objects)
  np.testing.assert_allclose(encoded, recorded.outputs['encoded0'], rtol=1e-5, atol=1e-5)

  deltas = jnp.asarray(recorded.inputs['pred']).reshape(30, -1, 4)
  decoded = coder.decode(deltas, priors[:, None])
  np.testing.assert_allclose(decoded.reshape(30, -1), recorded.outputs['decoded0'], rtol=1e-5, atol=1e-3)
  if recorded.args.get('clip_border', True):
    last = int(coder.legacy_plus_one)
    clipped = boxes.clip(decoded, (192 - last, 256 - last)).reshape(30, -1)
    np.testing.assert_allclose(clipped, recorded.outputs['decoded_clipped0'], rtol=1e-5, atol=1e-3)


def test_decoded_boxes_are_clipped_to_the_image():
  coder, legacy = Deltas(UNIT, 'max'), Deltas(UNIT, 'max', legacy_plus_one=True)
  deltas = jnp.array([[0.0, 0, 0, 0], [5.0, -5, 0, 0], [jnp.nan, 0, 0, 0]])
  anchors, size = jnp.tile(BOX, (3, 1)), jnp.array([50, 100])
  clipped = coder.decode_clipped(deltas, anchors, size)
  np.testing.assert_allclose(clipped[:2], [[10, 20, 30, 50], [100, 0, 100, 0]], atol=1e-5)
  assert not np.isfinite(clipped[2]).all()
  np.testing.assert_allclose(legacy.decode_clipped(deltas[1:2] * 2, anchors[:1], size), [[99, 0, 99, 0]], atol=1e-5)
