"""Summarizes the verdicts of recorded cases by config."""

from collections.abc import Sequence

from jaxdet.parity.records import VERDICTS, Record


def summary(records: Sequence[Record], upstream: str, config: str) -> str:
  """Summarizes the verdict of a line of the table of configs (zoo/lines.py).

  Args:
    records: of all cases.
    upstream: the line's upstream config; if it names a case, only that case counts.
    config: its jaxdet config; all cases that ran with it count.

  Returns:
    The worst verdict with the failed stages, and for several cases the number with this verdict: 'PASS (3 of 3)'. '-'
    if no case ran.
  """
  ran = [record for record in records if record.ran]
  found = [r for r in ran if r.case == upstream] or [r for r in ran if r.config == config]
  if not found:
    return '-'
  verdict = max((record.verdict for record in found), key=VERDICTS.index)
  worst = [record for record in found if record.verdict == verdict]
  stages = ', '.join(dict.fromkeys(stage for record in worst for stage in record.failed))
  count = f'({len(worst)} of {len(found)})' if len(found) > 1 else ''
  return ' '.join(filter(None, (verdict, stages, count)))
