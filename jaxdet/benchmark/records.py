"""Reads and writes measurements as lines of JSON, each with machine, versions and command."""

import datetime
import json
import os
import pathlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import jaxdet

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')

Record = dict[str, Any]


def surroundings(command: str) -> Record:
  """Fields that all records of a run share."""
  return {
    'date': datetime.date.today().isoformat(),
    'command': command,
    'machine': {
      'processor': _processor(),
      'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
      'memory_gib': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30),
      'system': platform.platform(),
    },
    'versions': {
      'jaxdet': jaxdet.__version__,
      'python': platform.python_version(),
      **{name: version(name) for name in PACKAGES},
    },
  }


def append_record(file: str, record: Mapping[str, Any]) -> None:
  """Appends a line; creates the file if there is none."""
  with open(file, 'a') as stream:
    stream.write(json.dumps(record) + '\n')


def read_records(file: str) -> list[Record]:
  """Reads the lines of a file in order; of equal measurements on the same machine only the last.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a line is not JSON; the message has its number.
  """
  path = pathlib.Path(file)
  if not path.is_file():
    raise FileNotFoundError(f'there is no file {file}: bench --config CONFIG --json {file} writes it')
  records = {}
  for number, line in enumerate(path.read_text().splitlines(), start=1):
    try:
      record = json.loads(line)
    except json.JSONDecodeError as error:
      raise ValueError(f'{file}:{number}: no JSON: {error}') from error
    key = json.dumps([record[name] for name in ('kind', 'program', 'config', 'task', 'mode', 'images', 'canvas')])
    records[key, json.dumps(record['machine']), json.dumps(record.get('device'))] = record
  return list(records.values())


def _processor() -> str:
  """Name of the CPU."""
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return names[0] if names else platform.processor() or platform.machine()
