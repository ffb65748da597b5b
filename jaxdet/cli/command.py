"""A command of the command line."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Command:
  """Description of a command: its flags, function and help."""

  flags: type  # a dataclass, see flags.py
  run: Callable[[Any], None]  # function of its flags
  help: str  # a line
  example: str  # words after `jaxdet`
