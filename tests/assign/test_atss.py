"""Adaptive training sample selection: the rule on a small pyramid, padding, memory, and as recorded from upstream."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.assign import atss
from jaxdet.assign.atss import match_atss
from jaxdet.ops import anchors
from op_case import op_case
from parity_kit import recipe

GRIDS = [(8, (24, 32)), (16, (12, 16)), (32, (6, 8)), (64, (3, 4)), (128, (2, 2))]
LEVELS = [anchors.grid_anchors(anchors.cell_anchors((8 * stride,), (1.0,)), grid, stride) for stride, grid in GRIDS]
SIZES = tuple(len(level) for level in LEVELS)
ANCHORS = np.concatenate(LEVELS)


# Most of the time goes into compiling.
@functools.partial(
  jax.jit, static_argnames=('sizes', 'num_nearest'), compiler_options={'xla_backend_optimization_level': 0}
)
def match(boxes, objects, valid, valid_anchors, sizes, num_nearest):
  return match_atss(boxes, sizes, objects, valid, valid_anchors=valid_anchors, num_nearest=num_nearest)


def assigned(objects, boxes=ANCHORS, sizes=SIZES, num_nearest=9, valid=None, valid_anchors=None):
  """The object's number for every anchor, -1 where there is none."""
  objects = np.asarray(objects, np.float32).reshape(-1, 4)
  valid = np.ones(len(objects), bool) if valid is None else valid
  objects, valid = np.pad(objects, ((0, 40 - len(objects)), (0, 0))), np.pad(valid, (0, 40 - len(valid)))
  valid_anchors = jnp.ones(len(boxes), bool) if valid_anchors is None else jnp.asarray(valid_anchors)
  found = match(boxes, objects, valid, valid_anchors, sizes, num_nearest)
  return np.where(found.positive, found.index, -1)


# Two levels: five unit squares in a row at x = 0, 2, .. and one square of 4 x 4.
ROW = np.array([[2 * i, 0, 2 * i + 1, 1] for i in range(5)] + [[0, 0, 4, 4]], np.float32)


def test_the_threshold_is_the_mean_plus_the_deviation_of_the_candidates():
  # Candidates by centre (2, 2): squares 1 (x 2 to 3), 0 and the large one; overlaps 1/16, 1/16 and 1.
  overlaps = np.array([1 / 16, 1 / 16, 1.0])
  assert overlaps.mean() + overlaps.std(ddof=1) < 1.0
  assert assigned([0, 0, 4, 4], ROW, (5, 1), num_nearest=2).tolist() == [-1, -1, -1, -1, -1, 0]


def test_a_centre_outside_the_object_is_not_positive():
  # The best overlap of an object right of the middle of the only square is with that square.
  assert assigned([3, 0, 4, 4], ROW[5:], (1,), num_nearest=1).tolist() == [-1]
  assert assigned([1, 0, 4, 4], ROW[5:], (1,), num_nearest=1).tolist() == [0]


def test_an_anchor_of_several_objects_goes_to_the_one_that_it_overlaps_most():
  objects = [[0, 0, 3, 4], [0, 0, 4, 4], [0, 0, 4, 4]]
  assert assigned(objects, ROW[5:], (1,), num_nearest=1).tolist() == [1]


def random_objects(count, rows, seed=0):
  rng = np.random.default_rng(seed)
  corner = rng.uniform(0, 150, (count, 2))
  boxes = np.concatenate([corner, corner + rng.uniform(10, 100, (count, 2))], -1)
  return np.pad(boxes, ((0, rows - count), (0, 0))).astype(np.float32), np.arange(rows) < count


def test_rows_that_hold_no_object_change_nothing():
  boxes, valid = random_objects(11, 40)
  alone = assigned(boxes[:11])
  assert len(set(alone.tolist())) > 8
  assert (assigned(boxes, valid=valid & False) == -1).all()
  mixed = np.arange(40) % 3 == 0  # in any place
  spread = np.zeros_like(boxes)
  spread[mixed] = boxes[: mixed.sum()]
  moved = assigned(spread, valid=mixed & (np.cumsum(mixed) <= 11))
  np.testing.assert_array_equal(np.where(moved >= 0, moved // 3, -1), alone)


def test_blocks_of_objects_make_no_difference(monkeypatch):
  boxes, _ = random_objects(20, 20, seed=1)
  before = assigned(boxes)
  monkeypatch.setattr(atss, 'BLOCK', 3)
  jax.clear_caches()
  np.testing.assert_array_equal(assigned(boxes), before)
  jax.clear_caches()


def test_anchors_that_take_no_part_are_nobodys_candidates():
  boxes, _ = random_objects(5, 5)
  inside = np.concatenate([anchors.valid_cells(grid, (128, 160), stride).reshape(-1) for stride, grid in GRIDS])
  sizes = [int(part.sum()) for part in np.split(inside, np.cumsum(SIZES)[:-1])]
  found = assigned(boxes, valid_anchors=inside)
  assert (found[~inside] == -1).all()
  np.testing.assert_array_equal(found[inside], assigned(boxes, ANCHORS[inside], tuple(sizes)))


def test_no_table_of_all_anchors_and_objects_is_ever_in_memory():
  sizes = tuple(100 * 168 // 4**k for k in range(4))  # an 800 x 1344 canvas
  num_anchors, num_objects = sum(sizes), 300
  shapes = [
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in (((num_anchors, 4), jnp.float32), ((num_objects, 4), jnp.float32), ((num_objects,), bool))
  ]
  compiled = match.lower(*shapes, jax.ShapeDtypeStruct((num_anchors,), bool), sizes=sizes, num_nearest=9).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < 4 * num_anchors * num_objects / 4


@pytest.mark.parametrize('num_nearest', [9, 3])
def test_matches_are_mmdetections(num_nearest):
  out = op_case('assigners', f'atss_topk{num_nearest}').outputs
  found = assigned(recipe().ground_truth(0, 80)['boxes'], num_nearest=num_nearest) + 1
  assert np.flatnonzero(found).tolist() == out['nonzero'].tolist()
  np.testing.assert_array_equal(found[out['nonzero']], out['gt_inds'])
