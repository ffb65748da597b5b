"""Parts of a network that are held fixed: patterns of parameter paths, as `config.model.frozen` has them."""

import re
from collections.abc import Sequence


def is_frozen(part: str, patterns: Sequence[str]) -> bool:
  """Whether a pattern holds a whole part of a network fixed, so that its norms keep their statistics too.

  Args:
    part: path of a submodule, as 'backbone/stage2'.
    patterns: regular expressions that are searched in paths of parameters, as r'^backbone/(stem|stage2)/'.
  """
  return any(re.search(pattern, f'{part}/') for pattern in patterns)
