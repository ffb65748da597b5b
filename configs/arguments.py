"""Parses the arguments of a config, the text after the colon in `configs/mmdet/faster_rcnn.py:backbone=r101`."""

import difflib
from collections.abc import Mapping, Sequence
from types import SimpleNamespace


def parse(text: str, choices: Mapping[str, Sequence[str | bool]]) -> SimpleNamespace:
  """Parses the value of every argument.

  Args:
    text: 'name=value,name=value'; other arguments have their defaults. Booleans are written true and false.
    choices: the values of each argument by its name, the default first.

  Raises:
    ValueError: an unknown argument or value.
  """
  values = {name: next(iter(options)) for name, options in choices.items()}
  for part in filter(None, text.split(',')):
    name, equals, value = part.partition('=')
    if not equals or name not in choices:
      nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.0)[0]
      raise ValueError(f"unknown argument '{part}' of a config; the nearest is '{nearest}=', of {', '.join(choices)}")
    options = {str(option).lower() if isinstance(option, bool) else option: option for option in choices[name]}
    if value not in options:
      raise ValueError(f"unknown {name} '{value}' of a config: choose one of {', '.join(filter(None, options))}")
    values[name] = options[value]
  return SimpleNamespace(**values)
