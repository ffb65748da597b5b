"""Optimal assignment: as scipy's, with padding, under vmap, and where there are more objects than queries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxdet.assign.hungarian import assign

assign_all = jax.jit(jax.vmap(assign))


def total(costs, queries, valid):
  """The cost of an assignment that gives every query to one object at most."""
  objects = np.flatnonzero(queries >= 0)
  assert valid[objects].all()
  assert len(objects) == min(valid.sum(), len(costs)) == len(set(queries[objects]))
  return costs[queries[objects], objects].sum(dtype=np.float64)


def least(costs, valid):
  rows, columns = linear_sum_assignment(costs[:, valid])
  return costs[:, valid][rows, columns].sum(dtype=np.float64)


def test_by_hand():
  # Both objects want query 0; object 0 loses less elsewhere.
  costs = jnp.array([[1.0, 1.0], [2.0, 9.0], [8.0, 9.0]])
  assert assign(costs, jnp.array([True, True])).tolist() == [1, 0]
  assert assign(costs, jnp.array([True, False])).tolist() == [0, -1]
  assert assign(costs, jnp.array([False, False])).tolist() == [-1, -1]


def test_more_objects_than_queries():
  costs = jnp.array([[1.0, 5.0, 0.5]])
  assert assign(costs, jnp.array([True, True, True])).tolist() == [-1, -1, 0]
  assert assign(costs, jnp.array([True, True, False])).tolist() == [0, -1, -1]
  assert assign(costs, jnp.array([False, True, False])).tolist() == [-1, 0, -1]


DRAWS = {
  'uniform': lambda rng, shape: rng.random(shape),
  'few whole numbers': lambda rng, shape: rng.integers(0, 4, shape),
  'one query that all want': lambda rng, shape: rng.random(shape) - 3 * (np.arange(shape[1]) == 0)[:, None],
  'sums of two': lambda rng, shape: rng.random((*shape[:2], 1)) + rng.random((shape[0], 1, shape[2])),
  'of both signs': lambda rng, shape: rng.normal(size=shape) * 10 - 20,
}


@pytest.mark.parametrize('queries, objects', [(1, 1), (7, 7), (20, 6), (6, 20), (60, 12)])
@pytest.mark.parametrize('draw', DRAWS)
def test_the_cost_is_scipys(draw, queries, objects):
  rng = np.random.default_rng(0)
  costs = DRAWS[draw](rng, (200, queries, objects)).astype(np.float32)
  valid = rng.random((200, objects)) < rng.random((200, 1)) + 0.2
  found = np.asarray(assign_all(costs, valid))
  for c, v, f in zip(costs, valid, found, strict=True):
    np.testing.assert_allclose(total(c, f, v), least(c, v), rtol=1e-6, atol=1e-5)
    if draw == 'few whole numbers':  # float32 is exact
      assert total(c, f, v) == least(c, v)


def test_the_assignment_is_scipys_where_there_is_one_optimum():
  rng = np.random.default_rng(1)
  costs = rng.permuted(np.tile(np.arange(40.0), (500, 1)), axis=1).reshape(500, 10, 4)
  costs = (costs + rng.random(costs.shape) * 0.1).astype(np.float32)
  found = np.asarray(assign_all(costs, np.ones((500, 4), bool)))
  for c, f in zip(costs, found, strict=True):
    rows, columns = linear_sum_assignment(c)
    assert f[columns].tolist() == rows.tolist()


def test_rows_without_an_object_change_nothing():
  rng = np.random.default_rng(2)
  costs = jnp.asarray(rng.random((30, 8)), jnp.float32)
  padded = jnp.pad(costs, ((0, 0), (0, 50)), constant_values=-7.0)
  few, many = assign(costs, jnp.ones(8, bool)), assign(padded, jnp.arange(58) < 8)
  np.testing.assert_array_equal(many[:8], few)
  assert (many[8:] == -1).all()


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_costs_that_are_no_numbers_end(bad):
  costs = jnp.full((4, 3), bad).at[2, 1].set(0.5)
  found = assign(costs, jnp.ones(3, bool)).tolist()
  assert found[1] == 2 and len(set(found)) == 3
  assert len(set(assign(jnp.full((3, 3), bad), jnp.ones(3, bool)).tolist())) == 3


def test_one_compilation_serves_all_numbers_of_objects():
  compiled = jax.jit(assign)
  for count in range(4):
    compiled(jnp.eye(5, 3), jnp.arange(3) < count)
  assert compiled._cache_size() == 1
