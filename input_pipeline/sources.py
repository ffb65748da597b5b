"""Training images from several sources: the settings of each, and the source of each step.

The first source is config.data itself. Every entry of data.more_sources is another one, by name: the settings of
config.data that differ for its images, such as `train`, `dir`, `canvases` or `sampler`. A batch comes from one source,
so that each may have its own canvas and kinds of annotation. A step's source is drawn in proportion to `data.rate`;
the images of a source come in the same order as if it were the only one.
"""

import functools
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from input_pipeline.sampling import SOURCES, random_stream
from jaxdet.parts import nearest

BLOCK = 4096  # steps whose sources are drawn together
# Settings that all sources share.
OF_ALL = ('name', 'val', 'shapes', 'num_shots', 'more_sources', 'compare_categories')


def settings_of_sources(data: ConfigDict) -> dict[str, ConfigDict]:
  """config.data of every source by name, '' for the first; no sources if data.train is empty.

  Raises:
    ValueError: a source has no annotations, an unknown setting, or an impossible rate.
  """
  if not data.train:
    return {}
  found = {'': data}
  for name, changes in data.more_sources.items():
    _check(name, changes, data)
    own = ConfigDict(data.to_dict())
    own.update(changes)
    found[name] = own.lock()
  rates = {name: own.rate for name, own in found.items()}
  if min(rates.values()) < 0 or not sum(rates.values()) > 0:
    raise ValueError(f'data.rate of training images is {rates}: give numbers from 0 on, and one above')
  return found


def split_name(source: str) -> str:
  """Split name of a source's records."""
  return f'train_{source}' if source else 'train'


def seed_of(seed: int, position: int) -> int:
  """Seed of the source at this position; the first one uses the run's seed."""
  return seed if position == 0 else int(np.random.SeedSequence((seed, position)).generate_state(1, np.uint64)[0])


class Turns:
  """Chooses the source of each step: `turn(step)`."""

  def __init__(self, rates: Sequence[float], seed: int):
    """`rates` are the sources' relative shares of the steps."""
    self._ends, self._seed = np.cumsum(rates) / np.sum(rates), seed
    # Row b: number of steps of each source before block b. Grows as later steps are requested.
    self._before = np.zeros((1, len(rates)), np.int64)
    self._lock = threading.Lock()
    self._block = functools.lru_cache(maxsize=4)(self._draw)

  def turn(self, step: int) -> tuple[int, int]:
    """Returns (position of the step's source, number of earlier steps of that source)."""
    if len(self._ends) == 1:
      return 0, step
    block, place = divmod(step, BLOCK)
    with self._lock:
      while len(self._before) <= block:
        drawn = np.bincount(self._draw(len(self._before) - 1), minlength=len(self._ends))
        self._before = np.concatenate([self._before, self._before[-1:] + drawn])
      before = self._before[block]
    sources = self._block(block)
    source = int(sources[place])
    return source, int(before[source] + (sources[:place] == source).sum())

  def _draw(self, block: int) -> Int[np.ndarray, 'block']:
    """Draws the sources of a block's steps."""
    return np.searchsorted(self._ends, random_stream(self._seed, SOURCES, block).random(BLOCK), side='right')


def _check(name: str, changes: Mapping, data: ConfigDict) -> None:
  if not name.isidentifier():
    raise ValueError(f"data.more_sources has the name '{name}': give one of letters, digits and _")
  if not changes.get('train'):
    raise ValueError(f'data.more_sources.{name} has no `train`: its annotation files')
  for key in changes:
    if key in OF_ALL:
      raise ValueError(f'data.more_sources.{name}.{key}: that is for all sources, set data.{key}')
  _check_keys(changes, data, f'data.more_sources.{name}')


def _check_keys(changes: Mapping, settings: Mapping, path: str) -> None:
  """Raises a ValueError for a key of `changes` that `settings` do not have."""
  for key, value in changes.items():
    if key not in settings:
      raise ValueError(f"unknown config key '{path}.{key}'; the nearest is '{nearest(key, settings)}' of config.data")
    if isinstance(settings[key], ConfigDict):
      _check_keys(value, settings[key], f'{path}.{key}')
