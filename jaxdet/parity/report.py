"""The results of many cases as lines of text, as a page and as JSON."""

import json
import math
import pathlib
import platform
from collections.abc import Sequence
from importlib.metadata import version

from jaxdet.parity import compare
from jaxdet.parity.causes import CAUSES
from jaxdet.parity.compare import STAGES, Check
from jaxdet.parity.run import Result
from jaxdet.parity.upstream import TITLES

_COLUMNS = [stage for stage in STAGES if stage != 'config']


def worst(checks: Sequence[Check], stage: str) -> Check | None:
  """The check of a stage that comes closest to its tolerance, or goes furthest beyond; None where there is none."""

  def measure(check: Check) -> float:
    if math.isnan(check.error):
      return math.inf
    return check.error / check.tolerance if check.tolerance else math.inf if check.error else 0.0

  return max((check for check in checks if check.stage == stage), key=measure, default=None)


def heading() -> str:
  return f'{"case":<48}' + ''.join(f'{stage:>10}' for stage in _COLUMNS) + f'{"tensors":>9}  verdict'


def line(result: Result) -> str:
  """A case's line of the table."""
  cells = ''.join(f'{_cell(result, stage):>10}' for stage in _COLUMNS)
  return f'{result.case:<48}{cells}{_coverage(result):>9}  {result.verdict}'


def details(result: Result) -> list[str]:
  """Of every stage that failed its worst check, and how many there are; the disagreements of the config."""
  lines = [f'    {note}' for note in result.notes]
  for stage in result.failed:
    check = worst(result.checks, stage)
    failed = sum(c.stage == stage and not c.passed for c in result.checks)
    rounding = f', in float64 {check.rounding:.1e}' if check.rounding else ''
    lines.append(f'    {stage}: {check.name} {check.error:.2e} > {check.tolerance:g}{rounding} ({failed} checks)')
  return lines


def write_json(results: Sequence[Result], path: pathlib.Path) -> None:
  """Every single number."""
  rows = [
    {
      'case': result.case,
      'config': result.config,
      'verdict': result.verdict,
      'notes': result.notes,
      'tensors': {'compared': result.covered, 'recorded': result.recorded},
      'checks': [[c.stage, c.name, c.error, c.tolerance, c.passed, c.rounding] for c in result.checks],
      'seconds': round(result.seconds, 1),
    }
    for result in results
  ]
  path.write_text(json.dumps(rows, indent=1) + '\n')


def read_json(path: pathlib.Path) -> list[Result]:
  """The results of a file of `write_json`; [] if there is none."""
  if not path.exists():
    return []
  return [
    Result(
      case=row['case'],
      config=row['config'],
      checks=tuple(Check(stage, name, *numbers, rounding) for stage, name, *numbers, _, rounding in row['checks']),
      covered=row['tensors']['compared'],
      recorded=row['tensors']['recorded'],
      notes=tuple(row['notes']),
      error='' if row['checks'] or not row['config'] else row['verdict'],
      seconds=row['seconds'],
    )
    for row in json.loads(path.read_text())
  ]


def page(results: Sequence[Result], command: str) -> str:
  """docs/parity.md."""
  ran = [result for result in results if result.checks]
  parts = [
    '# Parity with the upstream programs\n',
    'The same weights, the same images: how far jaxdet is from what the upstream programs gave. Every number is the '
    'error of a stage that comes closest to its tolerance.\n',
    f'{sum(result.passed for result in results)} of {len(ran)} cases that ran pass, '
    f'{sum(result.is_rounding for result in ran)} miss by rounding alone (~); '
    f'{len(results) - len(ran)} of {len(results)} recorded cases did not run.\n',
    'Written by\n\n'
    f'    {command}\n\nwith jax {version("jax")}, numpy {version("numpy")}, Python {platform.python_version()} on '
    f'{platform.system()} {platform.machine()}, float32.\n',
    _tolerances(),
    '~: beyond the tolerance in float64 too, and within '
    f'{compare.ROUNDING:g} times the error there: the recorded float32 number itself is no '
    'more exact. Group norm amplifies rounding stage by stage, most after standardised weights, and its gradients '
    'cancel.\n',
  ]
  for program, title in TITLES.items():
    rows = [result for result in results if result.case.partition('/')[0] == program]
    if rows:
      parts.append(_section(title, rows))
  return '\n'.join(parts)


def _section(title: str, results: Sequence[Result]) -> str:
  lines = [f'## {title}\n']
  ran = [result for result in results if result.checks]
  if ran:
    columns = [stage for stage in _COLUMNS if any(worst(result.checks, stage) for result in ran)]
    lines += ['| case | config | ' + ' | '.join(columns) + ' | tensors | verdict |', '|---' * (len(columns) + 4) + '|']
    for result in ran:
      cells = [result.case.partition('/')[2], f'`{result.config}`', *(_cell(result, stage) for stage in columns)]
      lines.append('| ' + ' | '.join([*cells, _coverage(result), result.verdict]) + ' |')
    lines.append('')
  for result in ran:
    if not result.passed:
      lines += [f'{result.case}:\n', *(f'- {text.strip()}' for text in details(result)), '']
      if result.case in CAUSES:
        lines += [CAUSES[result.case], '']
  for verdict in dict.fromkeys(result.verdict for result in results if not result.checks):
    names = [r.case.partition('/')[2] for r in results if not r.checks and r.verdict == verdict]
    lines += [f'{verdict[:1].upper()}{verdict[1:]}: {", ".join(names)}.\n']
  return '\n'.join(lines)


def _tolerances() -> str:
  tolerances = {
    'input': compare.TENSOR,
    'backbone': compare.TENSOR,
    'neck': compare.TENSOR,
    'rpn': compare.TENSOR,
    'head': compare.TENSOR,
    'encoder': compare.TENSOR,
    'decoder': compare.TENSOR,
    'fixed_roi': compare.TENSOR,
    'roi': compare.TENSOR,
    'proposals': compare.BOX,
    'boxes': compare.BOX,
    'scores': compare.SCORE,
    'masks': compare.MASK,
    'losses': compare.LOSS,
    'gradients': compare.GRADIENT,
    'training': compare.TRAINING,
  }
  rows = [f'| {stage} | {what} | {tolerances[stage]:g} |' for stage, what in STAGES.items() if stage in tolerances]
  return '\n'.join(['| stage | what is compared | tolerance |', '|---|---|---|', *rows, ''])


def _cell(result: Result, stage: str) -> str:
  check = worst(result.checks, stage)
  return '' if check is None else f'{check.error:.1e}{"~" * check.is_rounding}'


def _coverage(result: Result) -> str:
  return f'{result.covered}/{result.recorded}' if result.recorded else ''
