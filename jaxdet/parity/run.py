"""One recorded case, from its file to a verdict."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping

import jax

from jaxdet.parity import dense, query, two_stage
from jaxdet.parity.case import Case, load_case
from jaxdet.parity.compare import Check, Comparison
from jaxdet.parity.learning import compare_learning, compare_training
from jaxdet.parity.subject import Subject, make_subject
from jaxdet.parity.upstream import Entry, find_config

INFERENCE = {  # by `config.model.name`
  'two_stage': two_stage.compare_inference,
  'proposal_network': two_stage.compare_inference,
  'detr': query.compare_inference,
  'deformable_detr': query.compare_inference,
  'dense': dense.compare_inference,
}


@dataclasses.dataclass(frozen=True)
class Result:
  """What came of a case."""

  case: str
  config: str  # '' where the table has none
  checks: tuple[Check, ...] = ()
  covered: int = 0  # recorded tensors that were compared
  recorded: int = 0  # all recorded tensors
  notes: tuple[str, ...] = ()  # what config and recording disagree about
  error: str = ''  # why the case could not be run
  seconds: float = 0.0

  @property
  def failed(self) -> list[str]:
    """The stages with a check that did not pass, in order."""
    return list(dict.fromkeys(check.stage for check in self.checks if not check.passed))

  @property
  def is_rounding(self) -> bool:
    """Whether rounding explains all that did not pass."""
    return bool(self.failed) and not self.notes and all(check.passed or check.is_rounding for check in self.checks)

  @property
  def verdict(self) -> str:
    if self.error:
      return self.error
    if not self.config:
      return 'no config yet'
    failed = ['config'] * bool(self.notes) + self.failed
    if not failed:
      return 'PASS'
    return f'{"ROUNDING" if self.is_rounding else "FAIL"} {", ".join(failed)}'

  @property
  def passed(self) -> bool:
    return self.verdict == 'PASS'


def run_case(kit: pathlib.Path, name: str, zoo: Mapping[str, str]) -> Result:
  """Compares a case with the config that the table `zoo` names; an error becomes the result's text."""
  start = time.perf_counter()
  config = ''
  try:
    case = load_case(kit, name)
    entry = find_config(zoo, case)
    if entry is None:
      return Result(name, '')
    config = entry.config
    comparison, notes = compare_case(case, entry)
  except Exception as error:  # any: the other cases are still to come
    text = ' '.join(str(error).split())
    if not text.startswith('override not understood'):
      text = f'{type(error).__name__}: {text[:300]}'
    return Result(name, config, error=text, seconds=time.perf_counter() - start)
  finally:
    jax.clear_caches()
  return Result(
    case=name,
    config=config,
    checks=tuple(comparison.checks),
    covered=len(comparison.covered),
    recorded=len(case.tensors),
    notes=notes,
    seconds=time.perf_counter() - start,
  )


def compare_case(case: Case, entry: Entry) -> tuple[Comparison, tuple[str, ...]]:
  """All checks of a case, and what its config and the recording disagree about."""
  subject = make_subject(case, entry)
  with jax.default_matmul_precision('highest'):
    comparison = _compare(subject)
    if not all(check.passed for check in comparison.checks):
      with jax.enable_x64(True):
        comparison.measure_rounding(_compare(make_subject(case, entry, 'float64')))
    if 'train' in case.meta:
      compare_training(subject, comparison)
  return comparison, subject.differences


def _compare(subject: Subject) -> Comparison:
  """The checks of inference, losses and gradients."""
  comparison = Comparison(subject.case)
  INFERENCE[subject.config.model.name](subject, comparison)
  if 'losses' in subject.case.meta:
    compare_learning(subject, comparison)
  return comparison
