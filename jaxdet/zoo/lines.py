"""Reads the table of configs: lines 'program,upstream config,jaxdet config'.

The second field is the path of a config of the program, or the name of a recorded case, whose line has priority over
the path's. The rest of the line is a config as in `--config`, FILE or FILE:VARIANT, and may contain commas. Lines that
begin with '#', empty lines and a heading before the first config are skipped.
"""

import dataclasses
import difflib
import fnmatch
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from jaxdet.parity.upstream import bare

PROGRAMS = ('detectron2', 'mmdet', 'detic', 'disalign')
TABLE = pathlib.Path('configs', 'zoo.csv')
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of the table."""

  number: int  # from 1
  program: str  # of PROGRAMS, whose config `upstream` is
  upstream: str  # config without the program's folder and without suffix, or case
  config: str  # FILE or FILE:VARIANT


def read_lines(file: pathlib.Path) -> list[Line]:
  """Reads the table's lines in order.

  Raises:
    ValueError: a line has not three fields, an unknown program, or a third field that is not a config.
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
  """Reads tables as {upstream config without suffix, or case: jaxdet config}; later files have priority.

  Raises:
    ValueError: as `read_lines`.
  """
  return {line.upstream: line.config for file in files for line in read_lines(file)}


def find_root() -> pathlib.Path:
  """Finds the folder with the table: the current one, or the checkout's.

  Raises:
    FileNotFoundError: neither has it.
  """
  places = (pathlib.Path.cwd(), CHECKOUT)
  for place in places:
    if (place / TABLE).is_file():
      return place
  raise FileNotFoundError(
    f'there is no {TABLE} in {" or in ".join(map(str, places))}: run zoo in a checkout of jaxdet, which has configs'
  )


def read_models(root: pathlib.Path) -> dict[str, Line]:
  """Reads the table's lines by name, 'program/upstream config'; of lines with the same name the last one.

  Raises:
    ValueError: a line has no config.
  """
  return {f'{line.program}/{line.upstream}': line for line in read_lines(root / TABLE)}


def select(models: Mapping[str, Line], patterns: Sequence[str]) -> dict[str, Line]:
  """Selects models whose name, upstream config or jaxdet config matches one of the globs; all without globs.

  Raises:
    ValueError: a glob matches no model; the message has the nearest name.
  """
  texts = {name: (name, line.upstream, line.config) for name, line in models.items()}
  chosen = set()
  for pattern in patterns:
    found = {name for name in models if any(fnmatch.fnmatchcase(text, pattern) for text in texts[name])}
    if not found:
      known = dict.fromkeys(text for of_model in texts.values() for text in of_model)
      [nearest] = difflib.get_close_matches(pattern, known, n=1, cutoff=0.0)
      raise ValueError(
        f"no model of {TABLE} matches '{pattern}'; the nearest is '{nearest}'; *, ? and [..] stand for other text"
      )
    chosen |= found
  return {name: line for name, line in models.items() if not patterns or name in chosen}
