"""Formats the records of many cases as lines of text and as a page."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

from jaxdet.parity import compare
from jaxdet.parity.causes import CAUSES
from jaxdet.parity.compare import STAGES
from jaxdet.parity.records import VERDICTS, Record
from jaxdet.parity.upstream import TITLES

_COLUMNS = [stage for stage in STAGES if stage != 'config']


def heading() -> str:
  return f'{"case":<48}' + ''.join(f'{stage:>10}' for stage in _COLUMNS) + f'{"tensors":>9}  verdict'


def line(record: Record) -> str:
  """Line of a case in the table."""
  cells = ''.join(f'{_cell(record, stage):>10}' for stage in _COLUMNS)
  return f'{record.case:<48}{cells}{_coverage(record):>9}  {record.text}'


def details(record: Record) -> list[str]:
  """Lists the worst number and the number of failures of every failed stage, and the differences of the config."""
  lines = [f'    {note}' for note in record.notes]
  for stage in record.failed:
    if stage in record.stages:
      worst = record.stages[stage]
      check = worst.check
      rounding = f', in float64 {check.rounding:.1e}' if check.rounding else ''
      exceeded = f'{check.name} {check.error:.2e} > {check.tolerance:g}{rounding}'
      lines.append(f'    {stage}: {exceeded} ({worst.failed} checks)')
  return lines


def made_with() -> str:
  """Describes the programs and the machine that numbers depend on."""
  return (
    f'jax {version("jax")}, numpy {version("numpy")}, Python {platform.python_version()} on '
    f'{platform.system()} {platform.machine()}'
  )


def page(records: Sequence[Record], command: str, made_with: str) -> str:
  """Makes docs/parity.md."""
  ran = [record for record in records if record.ran]
  counts = {verdict: sum(record.verdict == verdict for record in ran) for verdict in VERDICTS}
  parts = [
    '# Parity with the upstream programs\n',
    'The same weights, the same images: how far jaxdet is from what the upstream programs gave. Every number is the '
    'error of a stage that comes closest to its tolerance.\n',
    f'{counts["PASS"]} of {len(ran)} cases that ran pass, {counts["ROUNDING"]} miss by rounding alone (~); '
    f'{len(records) - len(ran)} of {len(records)} recorded cases did not run.\n',
    f'Written by\n\n    {command}\n\nfrom parity.json, with {made_with}, float32.\n',
    _tolerances(),
    '~: beyond the tolerance in float64 too, and within '
    f'{compare.ROUNDING:g} times the error there: the recorded float32 number itself is no '
    'more exact. Group norm amplifies rounding stage by stage, most after standardised weights, and its gradients '
    'cancel.\n',
  ]
  for program, title in TITLES.items():
    rows = [record for record in records if record.case.partition('/')[0] == program]
    rows.sort(key=lambda record: record.case)
    if rows:
      parts.append(_section(title, rows))
  return '\n'.join(parts)


def _section(title: str, records: Sequence[Record]) -> str:
  lines = [f'## {title}\n']
  ran = [record for record in records if record.ran]
  if ran:
    columns = [stage for stage in _COLUMNS if any(stage in record.stages for record in ran)]
    lines += ['| case | config | ' + ' | '.join(columns) + ' | tensors | verdict |', '|---' * (len(columns) + 4) + '|']
    for record in ran:
      cells = [record.case.partition('/')[2], f'`{record.config}`', *(_cell(record, stage) for stage in columns)]
      lines.append('| ' + ' | '.join([*cells, _coverage(record), record.text]) + ' |')
    lines.append('')
  for record in ran:
    if record.verdict != 'PASS':
      lines += [f'{record.case}:\n', *(f'- {text.strip()}' for text in details(record)), '']
      if record.case in CAUSES:
        lines += [CAUSES[record.case], '']
  for text in dict.fromkeys(record.text for record in records if not record.ran):
    names = [record.case.partition('/')[2] for record in records if not record.ran and record.text == text]
    lines += [f'{text[:1].upper()}{text[1:]}: {", ".join(names)}.\n']
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
    'pixels': compare.PIXELS,
    'losses': compare.LOSS,
    'gradients': compare.GRADIENT,
    'training': compare.TRAINING,
  }
  rows = [f'| {stage} | {what} | {tolerances[stage]:g} |' for stage, what in STAGES.items() if stage in tolerances]
  return '\n'.join(['| stage | what is compared | tolerance |', '|---|---|---|', *rows, ''])


def _cell(record: Record, stage: str) -> str:
  if stage not in record.stages:
    return ''
  check = record.stages[stage].check
  return f'{check.error:.1e}{"~" * check.is_rounding}'


def _coverage(record: Record) -> str:
  return f'{record.compared}/{record.recorded}' if record.recorded else ''
