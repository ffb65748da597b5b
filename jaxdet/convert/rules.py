"""Imports and exports weights by rules: an array's name and layout upstream and here.

parts.py makes the rules of a model. The same list imports and exports; an export after an import is bit-identical.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdet.convert.layouts import SAME, Layout

IGNORED = ('num_batches_tracked',)  # last parts of upstream names that are ignored
# The state of losses and matchers, which checkpoints do not have.
LOSS_STATE = re.compile(r'batch_stats/((class_|box_)?loss|matcher)\d*/')


@dataclasses.dataclass(frozen=True)
class Rule:
  """One array: its name upstream, its path here with the collection first, and its layouts."""

  upstream: str
  path: str  # 'params/backbone/stem/conv/kernel'
  layout: Layout = SAME
  copy: bool = False  # a second upstream name of an array that has a rule already

  @property
  def collection(self) -> str:
    return self.path.partition('/')[0]


@dataclasses.dataclass(frozen=True)
class WrongShape:
  """An array of a checkpoint whose shape does not fit the model's array."""

  name: str  # upstream
  found: tuple[int, ...]  # its shape in the checkpoint, in upstream's layout
  path: str  # of the model's array
  expected: tuple[int, ...]  # shape of the model's array, in jaxdet's layout

  def __str__(self) -> str:
    return f'{self.name} of shape {self.found} for {self.path} of shape {self.expected}'


@dataclasses.dataclass(frozen=True)
class ImportReport:
  """Result of an import for every array; all fields but `loaded` are empty if the checkpoint fits the model."""

  loaded: tuple[str, ...]  # upstream names
  missing: tuple[str, ...]  # upstream names that the checkpoint lacks
  unused: tuple[str, ...]  # upstream names that no rule reads
  wrong_shape: tuple[WrongShape, ...]
  unset: tuple[str, ...]  # paths that kept their values

  def check(self) -> None:
    """Raises ValueError with the arrays' names unless every array but the losses' state was loaded."""
    unset = [path for path in self.unset if not LOSS_STATE.match(path)]
    kinds = {'missing': self.missing, 'unused': self.unused, 'wrong shape': self.wrong_shape, 'unset': unset}
    problems = []
    for kind, arrays in kinds.items():
      if arrays:
        shown = ', '.join(map(str, arrays[:5])) + (', ...' if len(arrays) > 5 else '')
        problems.append(f'{len(arrays)} {kind}: {shown}')
    if problems:
      raise ValueError(
        f'the checkpoint does not fit the model ({len(self.loaded)} arrays do); check depth, norm, number of '
        'classes and the like. ' + '; '.join(problems)
      )


def import_state(
  state: Mapping[str, np.ndarray], variables: Mapping[str, Any], rules: Sequence[Rule]
) -> tuple[dict[str, Any], ImportReport]:
  """Imports an upstream state dict into a model's variables.

  Args:
    state: arrays by upstream name.
    variables: tree of collections whose leaves have the right shape and dtype; arrays or ShapeDtypeStructs.
    rules: of the model.

  Returns:
    A tree like `variables` with NumPy arrays for loaded variables, and the report. A checkpoint that does not fit
    raises no error here: call `report.check()`.

  Raises:
    KeyError: a rule's path is not in `variables`, because the table is not that of this model.
  """
  flat = flatten_dict(variables, sep='/')
  loaded, missing, wrong_shape = {}, [], []
  for rule in rules:
    if rule.path not in flat:
      raise KeyError(f"the model has no array '{rule.path}', where '{rule.upstream}' belongs: wrong table or config")
    target = flat[rule.path]
    if rule.upstream not in state:
      missing.append(rule.upstream)
      continue
    value = _convert(rule, np.asarray(state[rule.upstream]), target.shape)
    if value is None:
      found = np.shape(state[rule.upstream])
      wrong_shape.append(WrongShape(rule.upstream, found, rule.path, tuple(target.shape)))
    else:
      loaded[rule.path] = np.asarray(value, target.dtype, order='C')
  read = {rule.upstream for rule in rules}
  report = ImportReport(
    loaded=tuple(rule.upstream for rule in rules if rule.path in loaded),
    missing=tuple(missing),
    unused=tuple(name for name in state if name not in read and name.rpartition('.')[2] not in IGNORED),
    wrong_shape=tuple(wrong_shape),
    unset=tuple(path for path in flat if path not in loaded),
  )
  empty = {collection: {} for collection in variables}
  return empty | unflatten_dict(flat | loaded, sep='/'), report


def _convert(rule: Rule, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
  """Converts an array to jaxdet's layout; None if the result has another shape than the model's, or no numbers."""
  if value.dtype.kind not in 'biuf':  # None or a text, which NumPy would turn into a number
    return None
  try:
    value = rule.layout.to_jaxdet(value)
  except ValueError:  # too few axes, or sizes that a reshape cannot split
    return None
  return value if value.shape == tuple(shape) else None


def export_state(variables: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
  """Exports a model's variables as an upstream state dict; also gradients, with the rules of their collection.

  Raises:
    KeyError: `variables` lacks an array of a rule.
  """
  flat = flatten_dict(variables, sep='/')
  state = {}
  for rule in rules:
    if rule.path not in flat:
      raise KeyError(f"'{rule.upstream}' needs '{rule.path}', which is not among the variables")
    state[rule.upstream] = np.asarray(rule.layout.to_upstream(np.asarray(flat[rule.path])), order='C')
  return state
