"""What a benchmark of the host's work leaves: a line of figures, and a record of the machine and versions with it."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version


def report(kind: str, figures: Mapping, packages: Sequence[str], file: str | None) -> None:
  """Prints the figures, and appends them to a file of JSON lines if one is given.

  Args:
    packages: whose versions matter here.
  """
  print(json.dumps(figures), flush=True)
  if file:
    from jaxdet.benchmark.records import append_record, surroundings

    record = {'kind': kind} | surroundings(shlex.join(['python', *sys.argv]))
    record['versions'] |= {name: version(name) for name in packages}
    append_record(file, record | {'figures': figures})
