"""A command of the command line."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Command:
  """What the command line knows of a command."""

  flags: type  # a dataclass, see flags.py
  run: Callable[[Any], None]  # with its flags
  help: str  # a line
  example: str  # words after `jaxdet`
