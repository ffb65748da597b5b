"""Arguments of a config: the text after the colon in `configs/rcnn.py:method=faster_rcnn,backbone=r101`."""

import difflib
from collections.abc import Mapping, Sequence
from types import SimpleNamespace


def parse(text: str, choices: Mapping[str, Sequence[str]]) -> SimpleNamespace:
  """The value of every argument.

  Args:
    text: 'name=value,name=value'; what is not named has its default.
    choices: the values of each argument by its name, the default first.

  Raises:
    ValueError: on an argument or a value that there is not.
  """
  values = {name: options[0] for name, options in choices.items()}
  for part in filter(None, text.split(',')):
    name, equals, value = part.partition('=')
    if not equals or name not in choices:
      close = difflib.get_close_matches(name, choices, n=1, cutoff=0.0)[0]
      raise ValueError(f"unknown argument '{part}' of a config; the nearest is '{close}=', of {', '.join(choices)}")
    if value not in choices[name]:
      raise ValueError(f"unknown {name} '{value}' of a config: choose one of {', '.join(filter(None, choices[name]))}")
    values[name] = value
  return SimpleNamespace(**values)
