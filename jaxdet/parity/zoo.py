"""Which jaxdet config stands for which upstream config: a table of lines 'upstream config, jaxdet config'.

The first field is an upstream config's path, or the name of one recorded case, whose line then wins over the path's.
The rest of the line is a config as `--config` takes it: FILE or FILE:VARIANT; it may hold commas itself. Lines that
begin with '#', empty lines and a heading are skipped.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

from jaxdet.parity.case import Case

_PREFIXES = re.compile(r'^(?:.*/)?(?:configs|DisAlign)/')  # of upstream's paths; what follows tells configs apart
_EXTENSION = re.compile(r'\.(?:ya?ml|py)$')
_LINE = re.compile(r'\s*("[^"]*"|[^\s,]+)\s*[,\s]\s*(\S.*?)\s*$')


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of a case."""

  config: str  # FILE or FILE:VARIANT
  own: bool  # the line names this case, so that the config means its overrides too


def read_zoo(files: Iterable[pathlib.Path]) -> dict[str, str]:
  """{upstream config without ending, or case: jaxdet config}; later files win.

  Raises:
    ValueError: on a line without a second field.
  """
  table = {}
  for file in files:
    for number, line in enumerate(file.read_text().splitlines(), start=1):
      if not line.strip() or line.lstrip().startswith('#'):
        continue
      fields = _LINE.match(line)
      if not fields:
        raise ValueError(f"{file}:{number}: no config after '{line.strip()}'")
      upstream, config = (field.strip('"\'') for field in fields.groups())
      if config.partition(':')[0].endswith('.py'):  # else it is the heading
        table[_bare(upstream)] = config
  return table


def find_config(table: dict[str, str], case: Case) -> Entry | None:
  """The case's line, None where there is none."""
  if case.name in table:
    return Entry(table[case.name], own=True)
  config = table.get(_bare(case.meta['config']))
  return None if config is None else Entry(config, own=False)


def _bare(path: str) -> str:
  return _EXTENSION.sub('', _PREFIXES.sub('', path))
