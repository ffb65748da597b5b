"""Weights of other programs in and out: a list of rules, each one array's two names and two layouts.

parts.py makes the rules of a model. The same list imports and exports, and what is imported, then exported, is the
same bits.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdet.convert.layouts import SAME, Layout

IGNORED = ('num_batches_tracked',)  # last parts of upstream names that mean nothing here
LOSS_STATE = re.compile(r'batch_stats/(class_)?loss\d*/')  # what losses keep from step to step: in no checkpoint


@dataclasses.dataclass(frozen=True)
class Rule:
  """One array: its name upstream, its path here with the collection first, and its layouts."""

  upstream: str
  path: str  # 'params/backbone/stem/conv/kernel'
  layout: Layout = SAME
  copy: bool = False  # a further name upstream of an array that has a rule already

  @property
  def collection(self) -> str:
    return self.path.partition('/')[0]


@dataclasses.dataclass(frozen=True)
class WrongShape:
  """An array of a checkpoint that does not become the model's array."""

  name: str  # upstream
  found: tuple[int, ...]  # its shape in the checkpoint, in upstream's layout
  path: str  # of the model's array
  expected: tuple[int, ...]  # the shape of that, in jaxdet's layout

  def __str__(self) -> str:
    return f'{self.name} of shape {self.found} for {self.path} of shape {self.expected}'


@dataclasses.dataclass(frozen=True)
class ImportReport:
  """The outcome of an import for every array; all but `loaded` are empty where the checkpoint fits the model."""

  loaded: tuple[str, ...]  # upstream names
  missing: tuple[str, ...]  # upstream names that the checkpoint lacks
  unused: tuple[str, ...]  # upstream names that no rule reads
  wrong_shape: tuple[WrongShape, ...]
  unset: tuple[str, ...]  # paths that kept the values they had

  def check(self) -> None:
    """Raises ValueError, naming the arrays, unless every array but the losses' state found its place."""
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
  """Puts an upstream state dict in the place of a model's variables.

  Args:
    state: arrays by upstream name.
    variables: tree of collections whose leaves have the right shape and dtype; arrays or ShapeDtypeStructs.
    rules: those of the model.

  Returns:
    A tree like `variables` with NumPy arrays where something was loaded, and the report. Nothing is raised for a
    checkpoint that does not fit: `report.check()` does that.

  Raises:
    KeyError: where a rule's path is not in `variables`, that is, the table is not that of this model.
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
  """The array in jaxdet's layout, None where its shape does not lead there."""
  try:
    value = rule.layout.to_jaxdet(value)
  except ValueError:  # too few axes, or sizes that a reshape cannot split
    return None
  return value if value.shape == tuple(shape) else None


def export_state(variables: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
  """The upstream state dict of a model's variables; also of gradients, with the rules of their collection.

  Raises:
    KeyError: where `variables` lacks an array that a rule names.
  """
  flat = flatten_dict(variables, sep='/')
  state = {}
  for rule in rules:
    if rule.path not in flat:
      raise KeyError(f"'{rule.upstream}' needs '{rule.path}', which is not among the variables")
    state[rule.upstream] = np.asarray(rule.layout.to_upstream(np.asarray(flat[rule.path])), order='C')
  return state
