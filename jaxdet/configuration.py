"""Loads configs by FILE or FILE:VARIANT, and applies changes of their values from the command line."""

import pathlib
import re
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxdet.parts import nearest

OVERRIDE = re.compile(r'--?(?:no)?config\.([^=\[]+)')  # --config.KEY, --noconfig.KEY, --config.KEY[0]


def load_config(path: str) -> ConfigDict:
  """Loads the config of FILE or FILE:VARIANT.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has no such variant.
  """
  name, _, variant = path.partition(':')
  file = pathlib.Path(name)
  if not file.is_file():
    beside = nearest(file.name, (other.name for other in file.parent.glob('*.py')))
    hint = f'; the nearest is {file.parent / beside}' if beside else ''
    raise FileNotFoundError(f'there is no config file {name}{hint}')
  _let_configs_import(file)
  namespace = runpy.run_path(name)
  if 'get_config' not in namespace:
    raise ValueError(f'{name} is no config: it defines no get_config')
  return namespace['get_config'](*([variant] if variant else []))


def detection_canvases(data: ConfigDict) -> tuple[tuple[int, int], ...]:
  """Canvases of detection: `data.test_canvases`, or those of training if it is ()."""
  return data.test_canvases or data.canvases


def define_overrides(config: ConfigDict, words: Sequence[str], values: flags.FlagValues) -> None:
  """Defines a flag for each config value that the command line changes; parsing the flags changes the config.

  Args:
    config: locked; a value keeps its type, except placeholders.
    words: '--config.train.steps=500' and others; a tuple is written as '(1, 2)' or by repeating the flag.
    values: the flags are defined here.

  Raises:
    ValueError: the config has no such key; the message has the nearest one.
  """
  known = list(keys(config.to_dict()))
  for key in overridden_keys(words):
    if key not in known:
      raise ValueError(f"unknown config key '{key}'; the nearest is '{nearest(key, known)}'")
  config_flags.DEFINE_config_dict('config', config, flag_values=values, sys_argv=list(words))


def overridden_keys(words: Sequence[str]) -> list[str]:
  """Keys of a config that the words of a command line change."""
  return [match[1] for word in words if (match := OVERRIDE.match(word))]


def keys(tree: Mapping, prefix: str = '') -> Iterator[str]:
  """Keys of a nested mapping, such as 'train.steps'."""
  for name, value in tree.items():
    yield prefix + name
    if isinstance(value, Mapping):
      yield from keys(value, f'{prefix}{name}.')


def _let_configs_import(file: pathlib.Path) -> None:
  """Makes `from configs import arguments` work in a config, by adding the parent of its top folder to the path."""
  folders = file.resolve().parents
  above = str(next((folder.parent for folder in folders if folder.name == 'configs'), folders[1]))
  if above not in sys.path:
    sys.path.append(above)
