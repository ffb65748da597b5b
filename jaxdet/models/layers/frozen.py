"""Finds frozen parts of a network by the patterns of `config.model.frozen`."""

import re
from collections.abc import Sequence


def is_frozen(part: str, patterns: Sequence[str]) -> bool:
  """True if a pattern freezes a whole part of a network, so that its norms keep their statistics too.

  Args:
    part: path of a submodule, such as 'backbone/stage2'.
    patterns: regular expressions searched in parameter paths, such as r'^backbone/(stem|stage2)/'.
  """
  return any(re.search(pattern, f'{part}/') for pattern in patterns)
