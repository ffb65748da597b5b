"""Formats the report of an import, and lists the names that stop it."""

import fnmatch
from collections.abc import Sequence

from jaxdet.convert.frameworks import Source
from jaxdet.convert.rules import LOSS_STATE, SAME, ImportReport

SHOWN = 20  # names per kind on the screen


def problems(report: ImportReport, source: Source, allow: Sequence[str] = ()) -> dict[str, list[str]]:
  """Lists the names that stop an import, by kind; {} if there are none.

  Names are upstream's, or the array's path if the program has no name for it.

  Args:
    report: from `import_state`.
    source: the imported file.
    allow: patterns of names to ignore, such as 'roi_heads.*'.
  """
  named = {rule.path for rule in source.rules}
  unset = [path for path in report.unset if not LOSS_STATE.match(path)]
  nameless = [] if source.backbone_only else [path for path in unset if path not in named]
  left = {
    'missing': [name for name in report.missing if not _matches(name, allow)],
    'unused': [name for name in report.unused if not _matches(name, [*source.unused, *allow])],
    'wrong shape': [name for name in (wrong.name for wrong in report.wrong_shape) if not _matches(name, allow)],
    'without a rule': [path for path in nameless if not _matches(path, allow)],
  }
  return {kind: names for kind, names in left.items() if names}


def text(report: ImportReport, source: Source, shown: int | None = SHOWN) -> str:
  """Formats a table of counts, with the names of arrays that were not loaded; `shown` None: all of them.

  loaded         265  53 of them transposed
  missing          0
  unused           2
    fc1000_w
    fc1000_b
  wrong shape      0
  """
  loaded = set(report.loaded)
  changed = sum(rule.layout is not SAME for rule in source.rules if rule.upstream in loaded)
  lines = [f'{"loaded":<12}{len(loaded):>6}  {changed} of them transposed']
  kinds = (('missing', report.missing), ('unused', report.unused), ('wrong shape', report.wrong_shape))
  for kind, names in kinds:
    lines.append(f'{kind:<12}{len(names):>6}')
    lines += [f'  {name}' for name in names[:shown]]
    if shown is not None and len(names) > shown:
      lines.append(f'  ... and {len(names) - shown} more')
  return '\n'.join(lines)


def _matches(name: str, patterns: Sequence[str]) -> bool:
  return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
