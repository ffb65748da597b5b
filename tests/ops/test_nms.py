"""Non-maximum suppression: against the sequential algorithm, and as recorded from Detectron2 and mmdetection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops import nms as module
from op_case import op_case
from parity_kit import case, recipe


def compiled(function):
  """The function under jit, for thresholds and block lengths that change between tests."""
  jitted = jax.jit(
    lambda _, *args, **kwargs: function(*args, **kwargs), static_argnums=0, static_argnames=('k', 'limit')
  )
  return lambda *args, **kwargs: jitted(module.BLOCK, *args, **kwargs)


nms, nms_top_k = compiled(module.nms), compiled(module.nms_top_k)


def greedy(boxes, scores, valid, threshold, groups=None):
  """The definition, box by box: indices of the survivors, best first."""
  groups = np.zeros(len(boxes)) if groups is None else groups
  kept = []
  for i in np.argsort(-scores, kind='stable'):
    if valid[i] and not any(groups[i] == groups[j] and overlap(boxes[i], boxes[j]) > threshold for j in kept):
      kept.append(i)
  return kept


def overlap(a, b):
  """IoU in float32."""
  width = min(a[2], b[2]) - max(a[0], b[0])
  height = min(a[3], b[3]) - max(a[1], b[1])
  if width <= 0 or height <= 0:
    return np.float32(0)
  area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
  return width * height / (area - width * height)


def crowd(seed, count=300, objects=12):
  """Boxes in clusters, equal scores among them, some rows not valid: (boxes, scores, valid, groups)."""
  rng = np.random.default_rng(seed)
  centres, sides = rng.uniform(0, 100, (objects, 2)), rng.uniform(10, 60, (objects, 2))
  of = rng.integers(0, objects, count)
  centre, side = centres[of] + rng.normal(0, 5, (count, 2)), sides[of] * rng.uniform(0.7, 1.3, (count, 2))
  boxes = np.concatenate([centre - side / 2, centre + side / 2], -1).astype(np.float32)
  scores = (rng.integers(0, 40, count) / 40).astype(np.float32)
  return boxes, scores, rng.uniform(size=count) < 0.9, rng.integers(0, 3, count)


@pytest.fixture(params=[64, 512], ids=['blocks', 'one block'])
def block(request, monkeypatch):
  monkeypatch.setattr(module, 'BLOCK', request.param)


@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize('with_groups', [False, True])
def test_it_is_the_sequential_algorithm(threshold, with_groups, block):
  for seed in range(3):
    boxes, scores, valid, groups = crowd(seed)
    groups = groups if with_groups else None
    expected = greedy(boxes, scores, valid, threshold, groups)
    keep = nms(boxes, scores, valid, threshold, groups)
    assert np.flatnonzero(keep).tolist() == sorted(expected)

    index, found = nms_top_k(boxes, scores, valid, threshold, k=20, groups=groups)
    assert np.asarray(index)[np.asarray(found)].tolist() == expected[:20]


def test_a_long_chain_is_followed_to_its_end(block):
  # Each box overlaps the next with IoU 0.6, the one after that with 1/3: every other one survives.
  boxes = jnp.stack([jnp.array([5.0 * i, 0, 5.0 * i + 20, 10]) for i in range(150)])
  keep = nms(boxes, -jnp.arange(150.0), jnp.ones(150, bool), 0.5)
  assert keep.tolist() == [True, False] * 75


def test_at_exactly_the_threshold_a_box_survives():
  boxes = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 5.01]])
  assert nms(boxes, jnp.array([3.0, 2, 1]), jnp.ones(3, bool), 0.5).tolist() == [True, True, False]


def test_of_equal_scores_the_first_survives():
  boxes = jnp.tile(jnp.array([0.0, 0, 10, 10]), (3, 1))
  assert nms(boxes, jnp.ones(3), jnp.array([False, True, True]), 0.5).tolist() == [False, True, False]


def test_rows_that_are_not_valid_do_nothing(block):
  boxes, scores, valid, groups = crowd(0)
  alone = nms(boxes[valid], scores[valid], valid[valid], 0.5, groups[valid])
  among = nms(boxes, np.where(valid, scores, 9.0), valid, 0.5, groups)
  assert np.flatnonzero(among).tolist() == np.flatnonzero(valid)[np.asarray(alone)].tolist()
  assert not nms(boxes, scores, np.zeros_like(valid), 0.5).any()


def test_fewer_survivors_than_rows():
  boxes, scores, valid, _ = crowd(1)
  index, found = nms_top_k(boxes, scores, valid, 0.3, k=400)
  assert index.shape == found.shape == (400,)
  expected = greedy(boxes, scores, valid, 0.3)
  assert index[: len(expected)].tolist() == expected
  assert not found[len(expected) :].any() and not index[len(expected) :].any()


def test_the_best_survivors_are_right_under_a_limit(monkeypatch):
  monkeypatch.setattr(module, 'BLOCK', 32)
  boxes, scores, valid, _ = crowd(2)
  expected = greedy(boxes, scores, valid, 0.7)[:10]
  limited = np.asarray(nms(boxes, scores, valid, 0.7, limit=10))
  assert limited[expected].all()
  assert np.asarray(nms(boxes, scores, valid, 0.7))[limited].all()
  assert limited.sum() < nms(boxes, scores, valid, 0.7).sum()


def test_images_side_by_side_and_one_compilation():
  batch = [np.stack(part) for part in zip(*(crowd(seed) for seed in range(4)), strict=True)]
  suppress = jax.jit(jax.vmap(lambda b, s, v, g: module.nms(b, s, v, 0.5, g)))
  keep = suppress(*batch)
  for row, image in zip(keep, zip(*batch, strict=True), strict=True):
    assert np.flatnonzero(row).tolist() == sorted(greedy(*image[:3], 0.5, image[3]))
  suppress(*(x[::-1] for x in batch))
  assert suppress._cache_size() == 1


def test_no_gradient_passes():
  boxes, scores, valid, _ = crowd(0, count=20)
  gradient = jax.grad(lambda b: jnp.where(nms(b, scores, valid, 0.5), b.sum(-1), 0.0).sum())(jnp.asarray(boxes))
  assert np.unique(gradient).tolist() == [0.0, 1.0]


@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
def test_survivors_are_detectron2s(threshold):
  arrays, _ = case('ops/d2_nms_schedule')
  boxes = jnp.asarray(arrays['boxes'])
  scores = recipe().uniform('ops|nms|score', (300,)).astype(np.float32)
  classes = np.floor(4 * recipe().uniform('ops|nms|class', (300,))).astype(np.int32)
  for name, groups in [('keep', classes), ('keep_agnostic', None)]:
    expected = arrays[f'{name}/{threshold}']
    index, found = nms_top_k(boxes, scores, np.ones(300, bool), threshold, k=300, groups=groups)
    assert index[: found.sum()].tolist() == expected.tolist()


@pytest.mark.parametrize('name', ['nms_0.3', 'nms_0.5', 'nms_0.7', 'batched_nms', 'batched_nms_agnostic'])
def test_survivors_are_mmdetections(name):
  recorded = op_case('nms', name)
  threshold, groups = recorded.args['iou_threshold'], recorded.inputs.get('idxs')
  boxes, scores = recorded.inputs['boxes'], recorded.inputs['scores']
  index, found = nms_top_k(boxes, scores, np.ones(200, bool), threshold, k=200, groups=groups)
  assert sorted(index[: found.sum()].tolist()) == sorted(recorded.outputs['keep'].tolist())
  # Two scores are equal, which mmcv does not keep in the order of the input.
  np.testing.assert_array_equal(scores[index[: found.sum()]], recorded.outputs['dets'][:, 4])


def test_a_score_threshold_and_a_maximum_are_validity_and_k():
  recorded = op_case('nms', 'nms_max_num_score_thr')
  boxes, scores = recorded.inputs['boxes'], recorded.inputs['scores']
  index, found = nms_top_k(boxes, scores, scores > recorded.args['score_threshold'], 0.5, k=20)
  assert found.all() and index.tolist() == recorded.outputs['keep'].tolist()


@pytest.mark.parametrize('name', ['shared_boxes', 'per_class_boxes_factors'])
def test_classes_are_suppressed_apart_as_in_mmdetection(name):
  recorded = op_case('multiclass_nms', name)
  raw = recorded.inputs['scores'][:, :-1]
  pairs = np.indices(raw.shape).reshape(2, -1)
  boxes = np.broadcast_to(recorded.inputs['boxes'].reshape(120, -1, 4), (120, 5, 4)).reshape(-1, 4)
  scores = (raw * recorded.inputs.get('score_factors', np.ones(120, np.float32))[:, None]).reshape(-1)
  # The threshold holds before the factors.
  index, found = nms_top_k(boxes, scores, raw.reshape(-1) > 0.3, 0.5, k=50, groups=pairs[1])
  assert found.all()
  np.testing.assert_array_equal(pairs[1][index], recorded.outputs['labels'])
  dets = np.concatenate([boxes[index], scores[index, None]], -1)
  np.testing.assert_allclose(dets, recorded.outputs['dets'], rtol=1e-6)
