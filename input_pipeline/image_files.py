"""The image files of a split and their companions: found once, identified by size and time, read for the records."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int64

from input_pipeline import decoding, images
from input_pipeline.fields.field import Companion

STAT_THREADS = 16  # a network file system answers many questions at a time
STAT_CHUNK = 1024


@dataclasses.dataclass(frozen=True)
class _Group:
  """One file per image."""

  folder: str  # below the root
  paths: Sequence[str]  # below `folder`; '': not found
  status: Int64[np.ndarray, 'I 2']  # bytes, and time of the last change in ns


@dataclasses.dataclass(frozen=True)
class Digests:
  """What identifies image files and their companions, in hexadecimal."""

  images: str
  companions: Mapping[str, str]  # by feature
  shards: tuple[str, ...]  # of the images and companions of each shard


class ImageFiles:
  """Files of I images, and their companion files."""

  def __init__(self, root: str, names: Sequence[str], companions: Sequence[Companion] = ()):
    """Finds the files of `names` below `root`, see `images.find`."""
    self._root, self._companions = root, companions
    self.problems: list[str] = []  # of files that are not found or must not be read
    self._images = self._find('', names)
    self._beside = []
    for companion in companions:
      own = [os.path.splitext(name)[0] + companion.suffix for name in names]
      self._beside.append(self._find(companion.folder, own))
      self.problems += _shared(companion, names, own)

  @property
  def paths(self) -> Sequence[str]:
    """Paths of the images below the root; '': not found."""
    return self._images.paths

  def __contains__(self, position: int) -> bool:
    """Whether all of an image's files were found."""
    return all(group.paths[position] for group in (self._images, *self._beside))

  def digests(self, shards: Sequence[range]) -> 'Digests':
    """Digests of paths, sizes and times; `shards` are the positions of their images."""
    groups = [[_digest(group, positions) for positions in shards] for group in (self._images, *self._beside)]
    images, *beside = (_joined(digests) for digests in groups)
    features = [companion.feature for companion in self._companions]
    return Digests(
      images=images,
      companions=dict(zip(features, beside, strict=True)),
      shards=tuple(_joined(digests) for digests in zip(*groups, strict=True)),
    )

  def load(self, position: int, height: int, width: int) -> tuple[bytes, dict[str, bytes], str]:
    """Loads the image's file and its companions by feature, and describes their problem ('' if none)."""
    encoded, problem = self._read(self._images, position)
    problem = problem or decoding.check(encoded, height, width)
    problem = problem and f'{self.paths[position]}: {problem}'
    beside = {}
    for companion, group in zip(self._companions, self._beside, strict=True):
      beside[companion.feature], found = self._read(group, position)
      found = found or companion.problem(beside[companion.feature], height, width)
      problem = problem or (found and f'{os.path.join(group.folder, group.paths[position])}: {found}')
    return encoded, beside, problem

  def _find(self, folder: str, names: Sequence[str]) -> _Group:
    """Finds one file per image below a folder, and adds the problems to those of all."""
    root = os.path.join(self._root, folder)
    paths, problems = images.find(root, names)
    self.problems += [f'{os.path.join(folder, name)}: {problem}' for name, problem in problems.items()]
    return _Group(folder, paths, _statuses(root, paths))

  def _read(self, group: _Group, position: int) -> tuple[bytes, str]:
    """Returns (content, problem) of a file, which must be the one that was found."""
    try:
      with open(os.path.join(self._root, group.folder, group.paths[position]), 'rb') as f:
        if _status(f.fileno()) != tuple(group.status[position]):
          return b'', 'has changed while records were made: start again'
        return f.read(), ''
    except OSError as error:
      return b'', f'cannot be read: {error.strerror}'


def _digest(group: _Group, positions: range) -> bytes:
  paths = group.paths[positions.start : positions.stop]
  status = group.status[positions.start : positions.stop]
  named = '\0'.join((group.folder, *paths)).encode(errors='surrogateescape')
  return hashlib.sha256(named + b'\0' + status.tobytes()).digest()


def _joined(digests: Iterable[bytes]) -> str:
  return hashlib.sha256(b''.join(digests)).hexdigest()


def _shared(companion: Companion, names: Iterable[str], own: Iterable[str]) -> list[str]:
  """Problems of companion files that belong to several images, such as those of x.jpg and x.png."""
  images_of: Mapping[str, dict[str, None]] = collections.defaultdict(dict)
  for name, path in zip(names, own, strict=True):
    images_of[path][name] = None
  return [
    f'{os.path.join(companion.folder, path)}: belongs to {" and ".join(several)}: give every image a file of its own'
    for path, several in images_of.items()
    if len(several) > 1
  ]


def _statuses(root: str, paths: Sequence[str]) -> Int64[np.ndarray, 'I 2']:
  """Size and time of every file; -1 of those that were not found."""

  def ask(start: int) -> list[tuple[int, int]]:
    chunk = paths[start : start + STAT_CHUNK]
    return [_status(f'{root}/{path}') if path else (-1, -1) for path in chunk]

  with ThreadPoolExecutor(STAT_THREADS) as pool:
    found = [status for part in pool.map(ask, range(0, len(paths), STAT_CHUNK)) for status in part]
  return np.array(found, '<i8').reshape(-1, 2)


def _status(file: str | int) -> tuple[int, int]:
  """(bytes, time in ns) of a file; (-1, -1) if it cannot be asked, which is told when it is read."""
  try:
    status = os.stat(file)
  except OSError:
    return -1, -1
  return status.st_size, status.st_mtime_ns
