"""Results of recorded cases, as in docs/parity.json: a verdict and each stage's worst number."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxdet.parity.compare import Check

VERDICTS = ('PASS', 'ROUNDING', 'FAIL')  # of cases that ran, the worst one last
NO_CONFIG, ERROR = 'NO CONFIG', 'ERROR'  # of cases that did not run


@dataclasses.dataclass(frozen=True)
class Worst:
  """The number of a stage with the largest error relative to its tolerance."""

  check: Check  # its name is '' if it was not kept
  failed: int = 0  # number of failed checks of the stage


@dataclasses.dataclass(frozen=True)
class Record:
  """Result of a case."""

  case: str  # 'program/case'
  config: str  # FILE or FILE:VARIANT; '' if the table has none
  verdict: str  # of VERDICTS, NO_CONFIG or ERROR
  failed: tuple[str, ...] = ()  # stages that did not pass, 'config' among them
  stages: Mapping[str, Worst] = dataclasses.field(default_factory=dict)
  compared: int = 0  # recorded tensors that were compared
  recorded: int = 0  # all recorded tensors
  notes: tuple[str, ...] = ()  # differences between config and recording
  error: str = ''  # why the case could not be run
  seconds: float = 0.0

  @property
  def ran(self) -> bool:
    return self.verdict in VERDICTS

  @property
  def text(self) -> str:
    """Verdict as text."""
    if not self.ran:
      return self.error or 'no config yet'
    return ' '.join(filter(None, (self.verdict, ', '.join(self.failed))))


def summarize(checks: Sequence[Check], notes: Sequence[str] = ()) -> dict[str, Any]:
  """Makes the fields `verdict`, `failed`, `stages` and `notes` of a case that ran."""
  failing = [check for check in checks if not check.passed]
  failed = ['config'] * bool(notes) + list(dict.fromkeys(check.stage for check in failing))
  explained = not notes and all(check.is_rounding for check in failing)
  stages = {}
  for stage in dict.fromkeys(check.stage for check in checks):
    of_stage = [check for check in checks if check.stage == stage]
    stages[stage] = Worst(max(of_stage, key=_excess), sum(not check.passed for check in of_stage))
  verdict = 'PASS' if not failed else 'ROUNDING' if explained else 'FAIL'
  return {'verdict': verdict, 'failed': tuple(failed), 'stages': stages, 'notes': tuple(notes)}


def write_records(path: pathlib.Path, records: Iterable[Record], made_with: str) -> None:
  """Writes a JSON file with one line per case; `made_with` describes the machine of the last one."""
  lines = [json.dumps(_to_json(record)) for record in sorted(records, key=lambda record: record.case)]
  path.write_text(f'{{"made_with": {json.dumps(made_with)}, "cases": [\n' + ',\n'.join(lines) + '\n]}\n')


def read_records(path: pathlib.Path) -> tuple[list[Record], str]:
  """Reads a file of `write_records`: the records and `made_with`; ([], '') without a file.

  Raises:
    ValueError: the file has other content; the message names the case.
  """
  if not path.exists():
    return [], ''
  try:
    content = json.loads(path.read_text())
    rows, made_with = content['cases'], content['made_with']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} holds no records of cases ({error}): write it anew with scripts/parity.py') from error
  records = []
  for row in rows:
    try:
      records.append(_from_json(row))
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(f'{path}: case {row.get("case")}: {error}: run it anew with scripts/parity.py') from error
  return records, made_with


def _excess(check: Check) -> float:
  """Error in tolerances; infinite for NaN."""
  if math.isnan(check.error):
    return math.inf
  return check.error / check.tolerance if check.tolerance else math.inf if check.error else 0.0


def _to_json(record: Record) -> dict[str, Any]:
  row = {name: value for name, value in vars(record).items() if value not in ('', (), 0, {})}
  return row | {'stages': {stage: _worst_to_json(worst) for stage, worst in record.stages.items()}}


def _worst_to_json(worst: Worst) -> dict[str, Any]:
  """Converts a stage's worst number to JSON; infinity and NaN become text."""
  check = worst.check
  numbers = {'error': check.error, 'tolerance': check.tolerance, 'rounding': check.rounding}
  row = {'tensor': check.name} | {k: v if math.isfinite(v) else str(v) for k, v in numbers.items()}
  return {k: v for k, v in (row | {'failed': worst.failed}).items() if v or k in ('error', 'tolerance')}


def _from_json(row: Mapping[str, Any]) -> Record:
  if row['verdict'] not in (*VERDICTS, NO_CONFIG, ERROR):
    raise ValueError(f"unknown verdict '{row['verdict']}'")
  stages = {stage: _worst_from_json(stage, worst) for stage, worst in row['stages'].items()}
  tuples = {name: tuple(row.get(name, ())) for name in ('failed', 'notes')}
  return Record(**{'config': ''} | dict(row) | tuples | {'stages': stages})


def _worst_from_json(stage: str, row: Mapping[str, Any]) -> Worst:
  numbers = (float(row.get(name, 0.0)) for name in ('error', 'tolerance', 'rounding'))
  return Worst(Check(stage, row.get('tensor', ''), *numbers), row.get('failed', 0))
