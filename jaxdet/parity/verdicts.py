"""The verdicts that docs/parity.md holds, by config."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from jaxdet.parity.upstream import TITLES

RANKS = ('PASS', 'ROUNDING', 'FAIL')  # the worst one last

_PROGRAMS = {title: program for program, title in TITLES.items()}


@dataclasses.dataclass(frozen=True)
class Verdict:
  """A row of the page's tables: a case that ran."""

  case: str  # 'program/case'
  config: str
  rank: str  # one of RANKS
  stages: tuple[str, ...]  # that did not pass


def read_page(path: pathlib.Path) -> list[Verdict]:
  """The rows of all programs, in order.

  Raises:
    FileNotFoundError: there is no such page.
    ValueError: a row has a verdict of another kind; says which line.
  """
  verdicts, program = [], ''
  for number, line in enumerate(path.read_text().splitlines(), start=1):
    if line.startswith('## '):
      program = _PROGRAMS.get(line.removeprefix('## ').strip(), '')
    row = re.fullmatch(r'\| (\S+) \| `([^`]+)` \|.*\| (\w+)([^|]*) \|', line)
    if not row or not program:
      continue
    case, config, rank, stages = row.groups()
    if rank not in RANKS:
      raise ValueError(f"{path}:{number}: unknown verdict '{rank}': write the page anew with scripts/parity.py")
    verdicts.append(Verdict(f'{program}/{case}', config, rank, tuple(stages.replace(',', ' ').split())))
  return verdicts


def summary(verdicts: Sequence[Verdict], upstream: str, config: str) -> str:
  """What the page says of a line of the table of configs (zoo/lines.py).

  Args:
    upstream: the line's first field; where it names a case, that case alone counts.
    config: its second field; all cases that ran with it count.

  Returns:
    The worst verdict with the stages that did not pass, and of several cases how many have it: 'PASS (3 of 3)'. '-'
    where no case ran.
  """
  found = [v for v in verdicts if v.case == upstream] or [v for v in verdicts if v.config == config]
  if not found:
    return '-'
  rank = max((v.rank for v in found), key=RANKS.index)
  worst = [v for v in found if v.rank == rank]
  stages = ', '.join(dict.fromkeys(stage for v in worst for stage in v.stages))
  count = f'({len(worst)} of {len(found)})' if len(found) > 1 else ''
  return ' '.join(filter(None, (rank, stages, count)))
