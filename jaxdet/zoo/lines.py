"""Which jaxdet config stands for which upstream config: a table of lines 'program,upstream config,jaxdet config'.

The second field is the path of a config of the program, or the name of one recorded case, whose line then wins over the
path's. The rest of the line is a config as `--config` takes it: FILE or FILE:VARIANT; it may hold commas itself. Lines
that begin with '#', empty lines and a heading before the first config are skipped.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

from jaxdet.parity.case import Case

PROGRAMS = ('detectron2', 'mmdet', 'detic', 'disalign')

_PREFIXES = re.compile(r'^(?:.*/)?(?:configs|DisAlign)/')  # of upstream's paths; what follows tells configs apart
_EXTENSION = re.compile(r'\.(?:ya?ml|py)$')


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of a case."""

  config: str  # FILE or FILE:VARIANT
  own: bool  # the line names this case, so that the config means its overrides too


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of the table."""

  number: int  # from 1 on
  program: str  # whose config `upstream` is, of PROGRAMS
  upstream: str  # config without folder of the program and ending, or case
  config: str  # FILE or FILE:VARIANT


def read_lines(file: pathlib.Path) -> list[Line]:
  """The table's lines in order.

  Raises:
    ValueError: on a line without three fields, with an unknown program, or whose third field is no config.
  """
  lines = []
  for number, text in enumerate(file.read_text().splitlines(), start=1):
    if not text.strip() or text.lstrip().startswith('#'):
      continue
    fields = [field.strip().strip('"') for field in text.split(',', 2)]
    if len(fields) < 3:
      raise ValueError(f"{file}:{number}: '{text.strip()}' is no line: give program,upstream config,jaxdet config")
    program, upstream, config = fields
    if config.partition(':')[0].endswith('.py'):
      if program not in PROGRAMS:
        raise ValueError(f"{file}:{number}: unknown program '{program}': choose one of {', '.join(PROGRAMS)}")
      lines.append(Line(number, program, bare(upstream), config))
    elif lines:  # else it is the heading
      raise ValueError(f"{file}:{number}: '{config}' is no config: give FILE.py or FILE.py:VARIANT")
  return lines


def read_zoo(files: Iterable[pathlib.Path]) -> dict[str, str]:
  """{upstream config without ending, or case: jaxdet config}; later files win.

  Raises:
    ValueError: as `read_lines`.
  """
  return {line.upstream: line.config for file in files for line in read_lines(file)}


def find_config(table: dict[str, str], case: Case) -> Entry | None:
  """The case's line, None where there is none."""
  if case.name in table:
    return Entry(table[case.name], own=True)
  config = table.get(bare(case.meta['config']))
  return None if config is None else Entry(config, own=False)


def bare(path: str) -> str:
  """An upstream config's path without the folder of all configs and without ending."""
  return _EXTENSION.sub('', _PREFIXES.sub('', path))
