"""Reports benchmarks of host code: a line of figures, and a record with machine and versions."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version


def report(kind: str, figures: Mapping, packages: Sequence[str], file: str | None) -> None:
  """Prints the figures, and appends them to a file of JSON lines if one is given.

  Args:
    packages: packages whose versions are recorded.
  """
  print(json.dumps(figures), flush=True)
  if file:
    from jaxdet.benchmark.records import append_record, surroundings

    record = {'kind': kind} | surroundings(shlex.join(['python', *sys.argv]))
    record['versions'] |= {name: version(name) for name in packages}
    append_record(file, record | {'figures': figures})
