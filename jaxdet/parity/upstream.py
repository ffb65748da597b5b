"""Upstream programs and their configs by name, and the jaxdet config of a recorded case."""

import dataclasses
import re
from collections.abc import Mapping

from jaxdet.parity.case import Case

TITLES = {'mmdet': 'mmdetection', 'detectron2': 'Detectron2', 'detic': 'Detic and CenterNet2', 'disalign': 'DisAlign'}

_PREFIXES = re.compile(r'^(?:.*/)?(?:configs|DisAlign)/')  # of upstream's paths; the rest identifies a config
_EXTENSION = re.compile(r'\.(?:ya?ml|py)$')


@dataclasses.dataclass(frozen=True)
class Entry:
  """Line of the table for a case."""

  config: str  # FILE or FILE:VARIANT
  is_case_specific: bool  # the line names this case, so the config includes its overrides


def find_config(table: Mapping[str, str], case: Case) -> Entry | None:
  """Finds the case's line; None if there is none."""
  if case.name in table:
    return Entry(table[case.name], is_case_specific=True)
  config = table.get(bare(case.meta['config']))
  return None if config is None else Entry(config, is_case_specific=False)


def bare(path: str) -> str:
  """Path of an upstream config without the folder of all configs and without suffix."""
  return _EXTENSION.sub('', _PREFIXES.sub('', path))
