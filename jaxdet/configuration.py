"""Configs as they are named on the command line: FILE, or FILE:VARIANT."""

import pathlib
import runpy
import sys
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict


def load_config(path: str) -> ConfigDict:
  """The config of FILE or FILE:VARIANT."""
  name, _, variant = path.partition(':')
  let_configs_import(path)
  namespace = runpy.run_path(name)
  return namespace['get_config'](*([variant] if variant else []))


def let_configs_import(path: str) -> None:
  """A config imports others by the name of the folder that they are all below: `from configs import arguments`."""
  folders = pathlib.Path(path.partition(':')[0]).resolve().parents
  above = str(next((folder.parent for folder in folders if folder.name == 'configs'), folders[1]))
  if above not in sys.path:
    sys.path.append(above)


def keys(tree: Mapping, prefix: str = '') -> Iterator[str]:
  """The keys of a nested mapping, as 'train.steps'."""
  for name, value in tree.items():
    yield prefix + name
    if isinstance(value, Mapping):
      yield from keys(value, f'{prefix}{name}.')
