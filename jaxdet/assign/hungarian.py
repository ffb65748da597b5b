"""Solves the optimal one-to-one assignment (Hungarian problem) on the device, by shortest augmenting paths.

The algorithm of Jonker & Volgenant (1987) in the rectangular form of Crouse (2016), as in scipy. First all objects
whose cheapest query no other object wants are assigned at once: with trained networks most of them. Then, object by
object, the cheapest path of reassignments that ends at a free query is searched, vectorised over queries.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

HUGE = 1e9  # replaces a cost that is not finite: such a pair is assigned only if nothing else is left


class _Duals(NamedTuple):
  """Assignment of R rows to C columns, R <= C, optimal for the rows assigned so far."""

  row_price: Float[Array, 'R']
  column_price: Float[Array, 'C']
  column_of: Int[Array, 'R']  # -1: none yet
  row_of: Int[Array, 'C']


class _Search(NamedTuple):
  """Shortest paths from one row to columns."""

  row: Int[Array, '']  # where the search continues
  distance: Float[Array, '']  # to that row
  distances: Float[Array, 'C']
  came_from: Int[Array, 'C']  # previous row on the path to a column
  done: Bool[Array, 'C']  # columns whose distance is final
  visited: Bool[Array, 'R']
  sink: Int[Array, '']  # the free column reached; -1 before that


def assign(costs: Float[Array, 'Q N'], valid: Bool[Array, 'N']) -> Int[Array, 'N']:
  """Assigns each object a query so that the sum of costs is least; -1 for objects without a query.

  As `scipy.optimize.linear_sum_assignment` on the valid columns: with more objects than queries some objects get none.
  Of several optima it returns one. Sums are in the type of `costs`, scipy's in float64.

  Args:
    costs: without gradient; values that are not finite count as HUGE.
    valid: False for padding columns, which cost nothing and take no time.
  """
  costs = jnp.where(jnp.isfinite(costs), costs, HUGE)
  queries, objects = costs.shape
  if objects <= queries:
    return _solve(costs.T, valid, jnp.ones(queries, bool)).column_of
  # Only the device knows whether there are more objects than queries: one of the two searches has nothing to do.
  many = valid.sum() > queries
  few = _solve(_padded(costs.T, columns=objects), valid & ~many, jnp.arange(objects) < queries)
  crowded = _solve(costs, jnp.broadcast_to(many, (queries,)), valid)
  return jnp.where(many, crowded.row_of, few.column_of)


def _solve(costs: Float[Array, 'R C'], rows_valid: Bool[Array, 'R'], columns_valid: Bool[Array, 'C']) -> _Duals:
  """Assigns every valid row to a valid column at least cost; valid columns must be at least as many."""
  costs = jnp.where(columns_valid, costs, jnp.inf)
  rows, columns = costs.shape

  def assign_next(state: tuple[_Duals, Bool[Array, 'R']]) -> tuple[_Duals, Bool[Array, 'R']]:
    duals, open_rows = state
    row = jnp.argmax(open_rows)
    # Under vmap this also runs for finished images, whose search would never end: hence `wanted`.
    return _augment(costs, duals, row, open_rows.any()), open_rows.at[row].set(False)

  # A row's price is the cost of its cheapest column; the first row that wants a column gets it.
  cheapest = jnp.argmin(costs, axis=1)
  wanted_by = jnp.where(
    rows_valid[:, None] & (cheapest[:, None] == jnp.arange(columns)), jnp.arange(rows)[:, None], rows
  )
  first = wanted_by.min(0)
  row_of = jnp.where(first < rows, first, -1)
  lucky = rows_valid & (first[cheapest] == jnp.arange(rows))
  duals = _Duals(
    row_price=jnp.where(rows_valid, costs.min(1), 0.0),
    column_price=jnp.zeros(columns, costs.dtype),
    column_of=jnp.where(lucky, cheapest, -1),
    row_of=row_of,
  )
  return lax.while_loop(lambda state: state[1].any(), assign_next, (duals, rows_valid & ~lucky))[0]


def _augment(costs: Float[Array, 'R C'], duals: _Duals, row: Int[Array, ''], wanted: Bool[Array, '']) -> _Duals:
  """Assigns one more row if `wanted`, else changes nothing."""
  rows, columns = costs.shape

  def visit(search: _Search) -> _Search:
    visited = search.visited.at[search.row].set(True)
    through = search.distance + (costs[search.row] - duals.row_price[search.row] - duals.column_price)
    shorter = ~search.done & (through < search.distances)
    distances = jnp.where(shorter, through, search.distances)
    came_from = jnp.where(shorter, search.row, search.came_from)
    open_distances = jnp.where(search.done, jnp.inf, distances)
    column = jnp.argmin(open_distances)
    owner = duals.row_of[column]
    return _Search(
      row=owner,
      distance=open_distances[column],
      distances=distances,
      came_from=came_from,
      done=search.done.at[column].set(True),
      visited=visited,
      sink=jnp.where(owner < 0, column, -1),
    )

  start = _Search(
    row=row,
    distance=jnp.zeros((), costs.dtype),
    distances=jnp.full(columns, jnp.inf, costs.dtype),
    came_from=jnp.zeros(columns, row.dtype),
    done=jnp.zeros(columns, bool),
    visited=jnp.zeros(rows, bool),
    sink=jnp.where(wanted, -1, 0),
  )
  found = lax.while_loop(lambda search: search.sink < 0, visit, start)

  # Prices change so that the path costs nothing and no reduced cost becomes negative.
  own = found.distances[duals.column_of]
  raised = jnp.where(jnp.arange(rows) == row, found.distance, found.distance - own)
  lowered = jnp.where(found.done, found.distance - found.distances, 0.0)
  prices = duals.row_price + jnp.where(found.visited, raised, 0.0), duals.column_price - lowered

  def swap(state):
    column, column_of, row_of, _ = state
    owner = found.came_from[column]
    return column_of[owner], column_of.at[owner].set(column), row_of.at[column].set(owner), owner == row

  start = (found.sink, duals.column_of, duals.row_of, ~wanted)
  _, column_of, row_of, _ = lax.while_loop(lambda state: ~state[3], swap, start)
  return _Duals(*prices, column_of, row_of)


def _padded(x: Float[Array, 'R C'], columns: int) -> Float[Array, 'R _']:
  return jnp.pad(x, ((0, 0), (0, columns - x.shape[1])))
