"""Matching boxes with objects: rule by rule, on padding, in bounded memory, and as recorded from upstream."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign import matcher
from jaxdet.ops import anchors
from op_case import op_case
from parity_kit import case, recipe

RULES = {'negative_iou': 0.3, 'positive_iou': 0.7, 'low_quality_matches': 'off', 'low_quality_min_iou': 0.0}

STATIC = ('negative_iou', 'positive_iou', 'low_quality_matches', 'low_quality_min_iou', 'ignored_iof')
match = jax.jit(matcher.match, static_argnames=STATIC)
match_quality = jax.jit(matcher.match_quality, static_argnames=STATIC[:4])


def matched(quality, **rules):
  """Labels and indices for a table of IoUs, one row per object."""
  quality = jnp.asarray(quality)
  found = match_quality(quality, jnp.ones(len(quality), bool), **{**RULES, **rules})
  return found.label.tolist(), found.index.tolist()


def test_two_thresholds_make_three_labels():
  labels, index = matched([[0.1, 0.3, 0.69, 0.7, 0.2], [0.2, 0.1, 0.0, 0.0, 0.9]])
  assert labels == [0, -1, -1, 1, 1]
  assert index == [1, 0, 0, 0, 1]


def test_a_range_of_negatives():
  assert matched([[0.05, 0.1, 0.39, 0.4, 0.7]], negative_iou=(0.1, 0.4))[0] == [-1, 0, 0, -1, 1]


def test_equal_overlaps_go_to_the_first_object():
  assert matched([[0.0, 0.8], [0.0, 0.8], [0.0, 0.8]])[1] == [0, 0]


# Object 0 has its best overlap with box 1, object 1 with boxes 0 and 1 equally, object 2 with box 3 alone.
CONTEST = [[0.5, 0.6, 0.0, 0.0], [0.4, 0.4, 0.0, 0.0], [0.0, 0.0, 0.1, 0.2]]


@pytest.mark.parametrize(
  'low_quality_matches, label, index',
  [
    ('off', [-1, -1, 0, 0], [0, 0, 2, 2]),
    # Positive, but each for the object that it overlaps most.
    ('best_iou', [1, 1, 0, 1], [0, 0, 2, 2]),
    # Positive for the object that claims it; the last one wins.
    ('gt_claims', [1, 1, 0, 1], [1, 1, 2, 2]),
    ('gt_claims_first', [1, 1, 0, 1], [1, 0, 2, 2]),
  ],
)
def test_what_an_object_does_with_its_best_boxes(low_quality_matches, label, index):
  assert matched(CONTEST, low_quality_matches=low_quality_matches) == (label, index)


def test_objects_overlapped_too_little_claim_nothing():
  assert matched(CONTEST, low_quality_matches='gt_claims', low_quality_min_iou=0.3)[0] == [1, 1, 0, 0]


def test_only_exactly_equal_overlaps_are_the_best():
  just_below = np.nextafter(np.float32(0.2), np.float32(0))
  assert matched([[0.2, just_below, 0.1999, 0.2]], low_quality_matches='best_iou')[0] == [1, 0, 0, 1]
  # The same from boxes: an object in the middle between four anchors has all four.
  grid = anchors.grid_anchors(anchors.cell_anchors((37,), (1.0,)), (9, 9), 12, offset=0.5)
  found = match(
    grid, jnp.array([[38.0, 38, 58, 58]]), jnp.ones(1, bool), **{**RULES, 'low_quality_matches': 'best_iou'}
  )
  assert np.flatnonzero(found.label == 1).tolist() == [30, 31, 39, 40]
  assert found.iou.max() < 0.3


def test_an_unknown_rule_is_named():
  with pytest.raises(ValueError, match="'all'"):
    matched(CONTEST, low_quality_matches='all')


# Anchors of 24 x 24 every 12 pixels of a 96 x 96 image.
ANCHORS = anchors.grid_anchors(anchors.cell_anchors((24,), (1.0,)), (8, 8), 12, offset=0.5)


def objects(count, rows, seed=0):
  """`count` objects in `rows` rows, with the rows that hold one in random places."""
  rng = np.random.default_rng(seed)
  boxes, valid = np.zeros((rows, 4), np.float32), np.zeros(rows, bool)
  valid[np.sort(rng.permutation(rows)[:count])] = True
  corner, sides = rng.uniform(0, 60, (count, 2)), rng.uniform(10, 36, (count, 2))
  boxes[valid] = np.concatenate([corner, corner + sides], -1)
  return boxes, valid


def assert_same(a, b):
  """Equal labels and indices; between two programs the compiler may round the IoU otherwise."""
  np.testing.assert_array_equal(a.label, b.label)
  np.testing.assert_array_equal(a.index, b.index)
  np.testing.assert_allclose(a.iou, b.iou, rtol=1e-6)


@pytest.mark.parametrize('low_quality_matches', ['best_iou', 'gt_claims', 'gt_claims_first', 'off'])
@pytest.mark.parametrize('count', [0, 8, 20])
def test_rows_that_hold_no_object_change_nothing(count, low_quality_matches):
  rules = {**RULES, 'low_quality_matches': low_quality_matches}
  boxes, valid = objects(count, rows=30)
  # Whatever such a row holds, even a box that would match.
  boxes[~valid] = [12, 12, 36, 36]
  padded = match(ANCHORS, boxes, valid, **rules)
  alone = match(ANCHORS, boxes[valid], valid[valid], **rules)
  np.testing.assert_array_equal(padded.label, alone.label)
  np.testing.assert_allclose(padded.iou, alone.iou, rtol=1e-6)
  if count:
    np.testing.assert_array_equal(padded.index, np.flatnonzero(valid)[alone.index] * (padded.iou > 0))
    assert (padded.label == 1).any() or low_quality_matches == 'off'


@pytest.mark.parametrize('low_quality_matches', ['best_iou', 'gt_claims'])
def test_blocks_of_objects_make_no_difference(monkeypatch, low_quality_matches):
  boxes, valid = objects(20, rows=30)
  rules = {**RULES, 'low_quality_matches': low_quality_matches}
  expected = match(ANCHORS, boxes, valid, **rules)
  monkeypatch.setattr(matcher, 'BLOCK', 30)
  in_one = jax.jit(functools.partial(matcher.match, ANCHORS, **rules))(boxes, valid)
  assert_same(in_one, expected)


def test_without_objects_every_candidate_is_negative():
  valid_boxes = np.arange(64) % 2 == 0
  found = match(ANCHORS, np.zeros((5, 4), np.float32), np.zeros(5, bool), valid_boxes=valid_boxes, **RULES)
  assert found.label.tolist() == [0, -1] * 32
  assert not found.index.any()


@pytest.mark.parametrize('low_quality_matches', ['best_iou', 'gt_claims'])
def test_boxes_that_take_no_part_are_nobodys_best(low_quality_matches):
  rules = {**RULES, 'low_quality_matches': low_quality_matches}
  boxes, valid = objects(5, rows=8)
  valid_boxes = np.random.default_rng(1).uniform(size=64) < 0.5
  among = jax.tree.map(np.asarray, match(ANCHORS, boxes, valid, valid_boxes=valid_boxes, **rules))
  alone = match(ANCHORS[valid_boxes], boxes, valid, **rules)
  assert (among.label[~valid_boxes] == -1).all() and (among.iou[~valid_boxes] == -1).all()
  assert_same(matcher.Match(*(part[valid_boxes] for part in among)), alone)


def test_images_side_by_side_and_no_gradient():
  images = [objects(count, rows=20, seed=count) for count in (0, 3, 20)]
  boxes, valid = (np.stack(part) for part in zip(*images, strict=True))
  rules = {**RULES, 'low_quality_matches': 'best_iou'}
  batch = jax.jit(jax.vmap(functools.partial(match, ANCHORS, **rules)))(boxes, valid)
  for row, image in enumerate(images):
    assert_same(matcher.Match(*(part[row] for part in batch)), match(ANCHORS, *image, **rules))
  gradient = jax.jit(jax.grad(lambda b: match(ANCHORS, b, valid[1], **rules).iou.sum()))(boxes[1])
  assert not gradient.any()


def test_no_table_of_all_overlaps_is_ever_in_memory():
  num_anchors, num_objects = 268_569, 300  # an 800 x 1344 canvas, LVIS
  shapes = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in [((num_anchors, 4), jnp.float32), ((num_objects, 4), jnp.float32), ((num_objects,), bool)]
  ]
  compiled = match.lower(*shapes, **{**RULES, 'low_quality_matches': 'gt_claims'}).compile()
  table = 4 * num_anchors * num_objects
  assert compiled.memory_analysis().temp_size_in_bytes < table / 8


@pytest.mark.parametrize(
  'name, rules',
  [
    ('rpn', {'negative_iou': 0.3, 'positive_iou': 0.7, 'low_quality_matches': 'best_iou'}),
    ('roi', {'negative_iou': 0.5, 'positive_iou': 0.5, 'low_quality_matches': 'off'}),
    ('retina', {'negative_iou': 0.4, 'positive_iou': 0.5, 'low_quality_matches': 'best_iou'}),
    ('ignore', {'negative_iou': (0.1, 0.5), 'positive_iou': 0.5, 'low_quality_matches': 'off'}),
  ],
)
def test_matches_are_detectron2s(name, rules):
  arrays, _ = case('ops/d2_matcher')
  labels, index = matched(arrays['quality'], **rules)
  assert labels == arrays[f'{name}/labels'].tolist()
  assert index == arrays[f'{name}/matches'].tolist()


RETINA = np.concatenate(
  [
    anchors.grid_anchors(
      anchors.cell_anchors([stride * 4 * 2 ** (i / 3) for i in range(3)], (0.5, 1.0, 2.0), 'ratio_major'), grid, stride
    )
    for stride, grid in [(8, (24, 32)), (16, (12, 16)), (32, (6, 8)), (64, (3, 4)), (128, (2, 2))]
  ]
)


@pytest.mark.parametrize(
  'name, low_quality_matches',
  [
    ('retina', 'gt_claims'),
    ('rpn', 'gt_claims'),
    ('rcnn', 'off'),
    ('with_ignore', 'gt_claims'),
    ('one_per_gt', 'gt_claims_first'),
  ],
)
def test_matches_are_mmdetections(name, low_quality_matches):
  recorded = op_case('assigners', f'max_iou_{name}')
  args, out = recorded.args, recorded.outputs
  negative = args['neg_iou_thr']
  rules = {
    'negative_iou': tuple(negative) if isinstance(negative, list) else negative,
    'positive_iou': args['pos_iou_thr'],
    'low_quality_matches': low_quality_matches,
    'low_quality_min_iou': args['min_pos_iou'],
  }
  if args['ignore_iof_thr'] > 0:
    rules |= {
      'ignored': jnp.array([[100.0, 60, 200, 150], [0, 0, 256, 192]]),
      'ignored_valid': jnp.array([True, False]),
    }
    rules |= {'ignored_iof': args['ignore_iof_thr']}
  boxes = recipe().ground_truth(0, 80)['boxes']
  found = match(RETINA, boxes, np.ones(len(boxes), bool), **rules)

  # -1 ignored, 0 negative, k + 1 positive for object k; only those that are not negative are recorded.
  assigned = np.where(found.label == 1, found.index + 1, found.label)
  assert np.flatnonzero(assigned).tolist() == out['nonzero'].tolist()
  np.testing.assert_array_equal(assigned[out['nonzero']], out['gt_inds'])
  np.testing.assert_allclose(found.iou[out['nonzero']], out['max_overlaps'], atol=1e-6)
