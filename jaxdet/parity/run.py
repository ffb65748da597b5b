"""Runs one recorded case, from its file to a record."""

import pathlib
import time
from collections.abc import Mapping

import jax

from jaxdet.parity import dense, pixels, query, two_stage
from jaxdet.parity.case import Case, load_case
from jaxdet.parity.compare import Check, Comparison
from jaxdet.parity.learning import compare_learning, compare_training
from jaxdet.parity.model_under_test import ModelUnderTest, make_model_under_test
from jaxdet.parity.overrides import OverrideNotUnderstood
from jaxdet.parity.records import ERROR, NO_CONFIG, Record, summarize
from jaxdet.parity.upstream import Entry, find_config

INFERENCE = {  # by `config.model.name`
  'two_stage': two_stage.compare_inference,
  'proposal_network': two_stage.compare_inference,
  'pyramid_network': pixels.compare_inference,
  'detr': query.compare_inference,
  'deformable_detr': query.compare_inference,
  'dense': dense.compare_inference,
}


def run_case(kit: pathlib.Path, name: str, zoo: Mapping[str, str]) -> tuple[Record, list[Check]]:
  """Compares a case with its config in the table `zoo`; an error becomes the record's text.

  Returns:
    The record, and all checks.
  """
  start = time.perf_counter()
  config = ''
  try:
    case = load_case(kit, name)
    entry = find_config(zoo, case)
    if entry is None:
      return Record(name, '', NO_CONFIG), []
    config = entry.config
    comparison, notes = compare_case(case, entry)
  except Exception as error:  # any: the other cases are still to come
    text = ' '.join(str(error).split())
    if not isinstance(error, OverrideNotUnderstood):
      text = f'{type(error).__name__}: {text[:300]}'
    return Record(name, config, ERROR, error=text, seconds=_since(start)), []
  finally:
    jax.clear_caches()
  record = Record(
    name,
    config,
    **summarize(comparison.checks, notes),
    compared=len(comparison.covered),
    recorded=len(case.tensors),
    seconds=_since(start),
  )
  return record, comparison.checks


def compare_case(case: Case, entry: Entry) -> tuple[Comparison, tuple[str, ...]]:
  """Makes all checks of a case, and lists the differences between its config and the recording."""
  tested = make_model_under_test(case, entry)
  with jax.default_matmul_precision('highest'):
    comparison = _compare(tested)
    if not all(check.passed for check in comparison.checks):
      with jax.enable_x64(True):
        comparison.measure_rounding(_compare(make_model_under_test(case, entry, 'float64')))
    if 'train' in case.meta:
      compare_training(tested, comparison)
  return comparison, tested.differences


def _compare(tested: ModelUnderTest) -> Comparison:
  """Makes the checks of inference, losses and gradients."""
  comparison = Comparison(tested.case)
  INFERENCE[tested.config.model.name](tested, comparison)
  if 'losses' in tested.case.meta:
    compare_learning(tested, comparison)
  return comparison


def _since(start: float) -> float:
  return round(time.perf_counter() - start, 1)
