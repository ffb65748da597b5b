"""Upstream programs and their configs by name, and which jaxdet config stands for that of a recorded case."""

import dataclasses
import re
from collections.abc import Mapping

from jaxdet.parity.case import Case

TITLES = {'mmdet': 'mmdetection', 'detectron2': 'Detectron2', 'detic': 'Detic and CenterNet2', 'disalign': 'DisAlign'}

_PREFIXES = re.compile(r'^(?:.*/)?(?:configs|DisAlign)/')  # of upstream's paths; what follows tells configs apart
_EXTENSION = re.compile(r'\.(?:ya?ml|py)$')


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of a case."""

  config: str  # FILE or FILE:VARIANT
  is_case_specific: bool  # the line names this case, so that the config means its overrides too


def find_config(table: Mapping[str, str], case: Case) -> Entry | None:
  """The case's line, None where there is none."""
  if case.name in table:
    return Entry(table[case.name], is_case_specific=True)
  config = table.get(bare(case.meta['config']))
  return None if config is None else Entry(config, is_case_specific=False)


def bare(path: str) -> str:
  """An upstream config's path without the folder of all configs and without ending."""
  return _EXTENSION.sub('', _PREFIXES.sub('', path))
