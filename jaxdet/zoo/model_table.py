"""Formats the models of configs/zoo.csv for the terminal and as a Markdown page."""

import csv
import dataclasses
import pathlib
from collections.abc import Sequence

from jaxdet.parity.upstream import TITLES, bare
from jaxdet.zoo.model_size import Size

COLUMNS = ('parameters', 'GFLOPs', 'box AP', 'mask AP', 'other', 'parity')


@dataclasses.dataclass(frozen=True)
class Published:
  """Accuracy of a model published by its program, as printed there; '' if there is none."""

  box_ap: str = ''
  mask_ap: str = ''
  other: str = ''  # 'AR1000=58.2'


@dataclasses.dataclass(frozen=True)
class Row:
  """Row of a model."""

  program: str  # a key of parity/upstream.py's TITLES
  upstream: str  # its upstream config
  config: str  # FILE or FILE:VARIANT
  size: Size
  canvas: tuple[int, int]  # (height, width) in pixels of the image for FLOPs
  published: Published
  parity: str

  @property
  def name(self) -> str:
    return f'{self.program}/{self.upstream}'


def read_published(file: pathlib.Path) -> dict[tuple[str, str], Published]:
  """Reads published accuracy by (program, upstream config without suffix).

  Raises:
    ValueError: a line does not have five fields.
  """
  table = {}
  for number, line in enumerate(file.read_text().splitlines(), start=1):
    if not line.strip() or line.startswith('#'):
      continue
    fields = [field.strip() for field in next(csv.reader([line]))]
    if len(fields) != 5:
      raise ValueError(f'{file}:{number}: {len(fields)} fields: give upstream config, program, box AP, mask AP, other')
    upstream, program, *values = fields
    table[program, bare(upstream)] = Published(*values)
  return table


def heading(widths: tuple[int, int]) -> str:
  """First line on the terminal; `widths` are those of the longest name and the longest parity."""
  return _aligned('model', COLUMNS, 'config', widths)


def line(row: Row, widths: tuple[int, int]) -> str:
  """Line of a row on the terminal."""
  return _aligned(row.name, _cells(row), row.config, widths)


def page(rows: Sequence[Row], command: str, made_with: str) -> str:
  """Makes docs/zoo.md: a table for each folder of each program's configs; `command` is the command that writes it."""
  counted = any(row.size.flops is not None for row in rows)
  parts = [
    '# Models\n',
    'What configs/zoo.csv lists: which config of jaxdet is which config of an upstream program.\n',
    f'Written by\n\n    {command}\n\nwith {made_with}.\n',
    '- parameters: of all networks, held fixed or trained; without statistics and constants of batch norms.',
    '- GFLOPs: 10^9 floating-point operations of detection on one image of this canvas (height x width), of matrix '
    'products and convolutions: a multiplication and an addition are two; with every region and every detection that '
    'there is room for; without RoIAlign.'
    if counted
    else '- GFLOPs: not counted; `--flops` counts them.',
    '- box AP, mask AP, other: as the upstream program publishes them on its validation set. jaxdet trained none of '
    'these models.',
    '- parity: the verdict on recorded runs of the upstream program with the same weights, see [parity.md](parity.md): '
    'the worst one, what did not pass, and of several runs how many. -: there is no recorded run with this config.\n',
  ]
  for name in dict.fromkeys(row.program for row in rows):
    of_program = [row for row in rows if row.program == name]
    parts.append(f'## {TITLES.get(name, name)}\n')
    for folder in dict.fromkeys(_folder(row) for row in of_program):
      parts.append(f'### {folder}\n')
      parts.append(_markdown([row for row in of_program if _folder(row) == folder]))
  return '\n'.join(parts)


def _markdown(rows: Sequence[Row]) -> str:
  """Formats a table; without the column of other metrics if there are none."""
  has_other = any(row.published.other for row in rows)
  shown = [column for column in COLUMNS if column != 'other' or has_other]
  lines = ['| ' + ' | '.join(['model', 'config', 'canvas', *shown]) + ' |', '|---' * (len(shown) + 3) + '|']
  for row in rows:
    cells = dict(zip(COLUMNS, _cells(row), strict=True))
    first = [row.upstream.rpartition('/')[2], f'`{row.config}`', '{} x {}'.format(*row.canvas)]
    lines.append('| ' + ' | '.join([*first, *(cells[column] for column in shown)]) + ' |')
  return '\n'.join([*lines, ''])


def _folder(row: Row) -> str:
  return row.upstream.rpartition('/')[0] or row.upstream


def _cells(row: Row) -> list[str]:
  """Cells of a row, in the order of COLUMNS."""
  published = [value or '-' for value in dataclasses.astuple(row.published)]
  gflops = '-' if row.size.flops is None else f'{row.size.flops / 1e9:.1f}'
  return [f'{row.size.parameters / 1e6:.2f} M', gflops, *published, row.parity]


def _aligned(name: str, cells: Sequence[str], config: str, widths: tuple[int, int]) -> str:
  parameters, gflops, box_ap, mask_ap, other, parity = cells
  numbers = f'{parameters:>10} {gflops:>8} {box_ap:>7} {mask_ap:>8} {other:>11}'
  return f'{name:{widths[0]}} {numbers}  {parity:{widths[1]}}  {config}'
