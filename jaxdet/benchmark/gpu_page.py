"""Writes the lines of scripts/gpu_report.py between two markers of a Markdown page."""

import json
import pathlib
from typing import Any

from jaxdet.benchmark.page import command_of, write_between
from jaxdet.benchmark.tables import Table, markdown

BEGIN, END = '<!-- gpu: begin -->', '<!-- gpu: end -->'
BESIDE = 'torchvision '  # prefix of the line with torchvision's numbers
SHOWN = ('jax', 'torch', 'torchvision')  # versions

Line = dict[str, Any]


def write_gpu_page(file: str, lines_file: str) -> None:
  """Writes the tables of a report between the markers of a page; of lines with the same name the last one counts."""
  lines = [json.loads(line) for line in pathlib.Path(lines_file).read_text().splitlines()]
  write_between(file, BEGIN, END, section({line['line']: line for line in lines}))


def section(lines: dict[str, Line]) -> str:
  """Formats the card, the command, and tables of programs, of the parts of a step and of single operations."""
  first = next(iter(lines.values()))
  versions: dict[str, str] = {}
  for line in lines.values():
    versions |= line.get('versions', {})
  known = ', '.join(f'{name} {versions[name]}' for name in SHOWN if name in versions)
  parts = [f'{first["device"]["kind"]}; {known}; {first["date"]}.', f'```bash\n{command_of(first)}\n```']
  if 'peak' in lines and 'error' not in lines['peak']:
    peak = lines['peak']
    parts.append(
      f'In the same process a product of bfloat16 matrices reached {peak["tflops"]:.0f} TFLOP/s and a copy '
      f'{peak["copy_gb_per_s"] / 1e3:.2f} TB/s.'
    )
  parts.append(markdown(program_table(lines)))
  for name, line in lines.items():
    if 'profile' in line:
      busy = f'{line["profile"]["busy_ms"]:.1f} of {line["step_ms"]:.1f} ms in kernels'
      parts += [f'Part by part, {name}, {busy}:', markdown(part_table(line['profile']))]
  parts.append(markdown(operation_table(lines)))
  failed = [f'{name} failed: `{line["error"]}`' for name, line in lines.items() if 'error' in line]
  return '\n\n'.join(parts + failed)


def program_table(lines: dict[str, Line]) -> Table:
  """Makes a table with one row per program; a ratio below 1 is faster than torchvision."""
  rows = [['', 'ms', 'images/s', 'torchvision, ms', 'jaxdet / torchvision', 'compile, s', 'temporaries, GiB']]
  for name, line in lines.items():
    if 'step_ms' not in line or name.startswith(BESIDE):
      continue
    beside = lines.get(BESIDE + name, {}).get('step_ms')
    against = [f'{beside:.1f}', f'{line["step_ms"] / beside:.2f}'] if beside else ['-', '-']
    held = line['temporaries_gib']
    more = [f'{line["compile_s"]:.0f}', '-' if held is None else f'{held:.1f}']
    rows.append([name, f'{line["step_ms"]:.1f}', f'{line["images_per_s"]:.1f}', *against, *more])
  return rows


def part_table(profile: dict[str, Any]) -> Table:
  """Makes a table with one row per network or named scope, the costliest first."""
  rows = [['', 'forward, ms', 'backward, ms']]
  for part, times in profile['parts'].items():
    rows.append([part, f'{times["forward_ms"]:.1f}', f'{times["backward_ms"]:.1f}'])
  return rows


def operation_table(lines: dict[str, Line]) -> Table:
  """Makes a table with one row per operation that was timed alone."""
  rows = [['', 'ms']]
  for name, line in lines.items():
    if not name.startswith('op ') or 'error' in line:
      continue
    if 'ms_by_block' in line:
      times = ', '.join(f'{ms:.2f} in blocks of {block}' for block, ms in line['ms_by_block'].items())
    elif 'both_ms' in line:
      times = f'{line["forward_ms"]:.2f} forward, {line["both_ms"]:.2f} with backward'
    else:
      times = f'{line["ms"]:.2f}'
    rows.append([name.removeprefix('op '), times])
  return rows
