"""Writes records between two markers of a Markdown page."""

import pathlib
import re
import shlex
from collections.abc import Sequence
from itertools import groupby

from jaxdet.benchmark import tables
from jaxdet.benchmark.records import Record

BEGIN, END = '<!-- bench: begin -->', '<!-- bench: end -->'
OWN = ('--json', '--docs', '--torch_python', '--debug')  # flags that do not affect measurements
SHOWN = ('jax', 'torch', 'torchvision')  # versions


def write_page(file: str, records: Sequence[Record]) -> None:
  """Writes the tables of all records between the markers of a page."""
  write_between(file, BEGIN, END, section(records))


def write_between(file: str, begin_marker: str, end_marker: str, text: str) -> None:
  """Writes a text between two markers of a page.

  Raises:
    FileNotFoundError: there is no such page.
    ValueError: the page does not have the markers.
  """
  path = pathlib.Path(file)
  if not path.is_file():
    raise FileNotFoundError(f'there is no page {file}')
  page = path.read_text()
  before, begin, rest = page.partition(begin_marker)
  _, end, after = rest.partition(end_marker)
  if not begin or not end:
    raise ValueError(f'{file} has no place for the tables: put a line {begin_marker} and a line {end_marker} into it')
  path.write_text(f'{before}{begin}\n\n{text}\n\n{end}{after}')


def section(records: Sequence[Record]) -> str:
  """Formats a heading, the commands and tables of each group of records; the choices come last, once."""
  groups = groupby(sorted(records, key=tables.group_key), key=tables.group_key)
  parts = [_group(list(of_group)) for _, of_group in groups]
  if chosen := tables.choices(records):
    parts += ['So that programs side by side do equal work:', '\n'.join(f'- {choice}' for choice in chosen)]
  return '\n\n'.join(parts)


def command_of(record: Record) -> str:
  """Command of a record without flags for files of this machine."""
  words, kept = shlex.split(record['command']), []
  for i, word in enumerate(words):
    flag = re.sub('^--?', '--', word).partition('=')[0]
    follows = i and words[i - 1].startswith('-') and '=' not in words[i - 1] and _own(words[i - 1])
    if not (_own(flag) or follows):
      kept.append(word)
  return shlex.join(kept)


def _own(word: str) -> bool:
  return re.sub('^--?', '--', word) in OWN


def _group(records: list[Record]) -> str:
  first = records[0]
  parts = [f'### {tables.title(first)}', _machine(records)]
  commands = dict.fromkeys(command_of(record) for record in records)
  parts.append('```bash\n' + '\n'.join(commands) + '\n```')
  for name, table in {**tables.program_tables(records), **tables.stage_tables(records)}.items():
    parts += [f'{name[0].upper()}{name[1:]}:', tables.markdown(table)]
  failed = [record for record in records if 'error' in record]
  parts += [f'{record["program"]} {record["mode"]} failed: `{record["error"]}`' for record in failed]
  return '\n\n'.join(parts)


def _machine(records: Sequence[Record]) -> str:
  """Describes the machine and the versions in one sentence."""
  machine = records[0]['machine']
  devices = dict.fromkeys(_device(record['device']) for record in records if record.get('device'))
  versions = {}
  for record in records:
    versions |= {
      name: record['versions'][name] for name in ('jax', 'torch', 'torchvision') if name in record['versions']
    }
  parts = [
    *devices,
    f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory_gib"]} GiB',
    ', '.join(f'{name} {version}' for name, version in versions.items()),
    ' and '.join(dict.fromkeys(record['date'] for record in records)),
  ]
  return '; '.join(parts) + '.'


def _device(device: dict) -> str:
  return f'backend {device["backend"]}' if device['backend'] == 'cpu' else f'{device["count"]} x {device["kind"]}'
