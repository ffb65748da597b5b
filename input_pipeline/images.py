"""Finds image files in common folder layouts."""

import collections
import ntpath
import os
import posixpath
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

from input_pipeline.folder_listing import Folders, Listing

BASES = ('', 'images')  # folders in which names are searched as they are written
PLAIN = re.compile(r'[^/.:\\][^/:\\]*(/[^/.:\\][^/:\\]*)*')  # a path without '.', '..', a drive or backslashes
SPLIT = re.compile(r'(train|val|test|unlabeled)\d{4}')  # COCO's folders, which other layouts leave out
PART = re.compile(r'(train|val|test|unlabeled)(id|idation|\d{4})?')  # a folder of one part of a data set
COCO_2014 = re.compile(r'COCO_(train|val|test)2014_(\d{12}\.\w+)')  # 2017's name is the second group


def find(root: str, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
  """Finds the path below `root` of each image ('' if there is none), and the problems by name.

  A file is an image's if its path ends with all parts of the name. It is searched in `root` and in `root`/images, then
  in the folders directly below these two, where it must be the only one. Leading parts that name a layout and no image
  may be missing on disk: images/, COCO's train2017/, and COCO_val2014_ of LVIS v0.5's names. Backslashes separate parts
  if no file has the name as written. Each folder is listed once.

  A problem is a missing or ambiguous file, two names of one file, a name or a link that leads out of `root`, or what is
  no regular file.
  """
  search = _Search(root)
  found = {name: search.find(name) for name in dict.fromkeys(names)}
  paths = {name: path for name, (path, problem) in found.items() if not problem}
  problems = {name: problem for name, (_, problem) in found.items() if problem}
  names_of = collections.defaultdict(list)
  for name, path in paths.items():
    names_of[path].append(name)
  for path, same in names_of.items():
    if len(same) > 1:
      for name in same:
        others = ', '.join(repr(other) for other in same if other != name)
        problems[name] = f'is the file {path}, and so is {others}: give every image a file of its own'
  return [paths.get(name, '') if name not in problems else '' for name in names], problems


class _Search:
  """Searches for the files of names below a root."""

  def __init__(self, root: str):
    self._root = root
    self._folders = Folders(root)
    self._exact: dict[str, list[tuple[str, Listing]]] = {}
    self._below: dict[str, Mapping[str, list[str]]] = {}
    self._near: Mapping[str, list[str]] | None = None

  def find(self, name: str) -> tuple[str, str]:
    """Returns (path below the root, problem) of a name; one of both is ''."""
    tail = self._relative(name)
    if tail and (hit := self._search(tail)):
      return hit
    slashed = name.replace('\\', '/')
    if slashed != name:
      tail = self._relative(slashed)
      if tail and (hit := self._search(tail)):
        return hit
    if not tail:
      return '', f'leads out of {self._root}: write the path below this folder'
    return '', self._missing(tail)

  def _relative(self, name: str) -> str:
    """The name as a path below the root, without '.' and '..'; '' if it leads elsewhere."""
    if PLAIN.fullmatch(name):
      return name
    if ntpath.splitdrive(name)[0]:
      return ''
    if name.startswith('/'):
      above = (root for root in (os.path.abspath(self._root), os.path.realpath(self._root)))
      name = next((os.path.relpath(name, root) for root in above if name.startswith(f'{root}/')), '..')
    tail = posixpath.normpath(name)
    return '' if tail.split('/')[0] == '..' else tail

  def _search(self, tail: str) -> tuple[str, str] | None:
    """Returns (path, problem) of the best place of a name; None if there is none."""
    for shorter, part in _tails(tail):
      folder, _, base = shorter.rpartition('/')
      for where, listing in self._places(folder):
        if base in listing:
          return self._usable(where, base, listing, tail)
      hits = [where for where in self._deeper(folder).get(base, ()) if not (part and _contradicts(where, folder, part))]
      if len(hits) > 1 and len({os.path.realpath(os.path.join(self._root, where, base)) for where in hits}) > 1:
        return '', f'may be {" or ".join(f"{where}/{base}" for where in hits)}: write its folder too'
      if hits:
        return self._usable(hits[0], base, self._folders.listing(hits[0]), tail)
    return None

  def _usable(self, where: str, base: str, listing: Listing, tail: str) -> tuple[str, str]:
    path = f'{where}/{base}' if where else base
    if base in listing.files and base not in listing.links:
      return path, ''
    problem = self._folders.problem(path)
    if not problem:
      return path, ''
    return '', problem if path == tail else f'{path} {problem}'

  def _places(self, folder: str) -> list[tuple[str, Listing]]:
    """Paths and listings of `folder` in each of BASES."""
    if folder not in self._exact:
      paths = (os.path.join(base, folder) if folder else base for base in BASES)
      self._exact[folder] = [(path, self._folders.listing(path)) for path in paths]
    return self._exact[folder]

  def _deeper(self, folder: str) -> Mapping[str, list[str]]:
    """Folders by file name of the files in `folder` below each folder that lies directly in one of BASES."""
    if folder not in self._below:
      found = collections.defaultdict(list)
      for place in dict.fromkeys(child for base in BASES for child in self._folders.children(base)):
        if place not in BASES:
          where = os.path.join(place, folder) if folder else place
          listing = self._folders.listing(where)
          for name in (*listing.files, *listing.unusable):
            found[name].append(where)
      self._below[folder] = found
    return self._below[folder]

  def _missing(self, tail: str) -> str:
    """Describes a missing file, with the nearest one that is there."""
    if self._near is None:
      self._near = collections.defaultdict(list)
      for path in self._folders.listed_files():
        self._near[_folded(os.path.basename(path))].append(path)
    candidates = self._near.get(_folded(os.path.basename(tail)), ())
    alike = next((path for path in candidates if f'/{_folded(path)}'.endswith(f'/{_folded(tail)}')), '')
    closed = self._folders.unreadable
    hint = f'; there is {alike}, which is another name' if alike else ''
    return f'not found{hint}' + (f'; the folder {closed[0]} may not be read' if closed else '')


def _tails(tail: str) -> Iterator[tuple[str, str]]:
  """Yields (path, part) of a name: as written, then without the parts of a layout.

  `part` is the part of the data set, such as 'train', that a left out folder has named.
  """
  yield tail, ''
  part = ''
  while (first := tail.partition('/'))[1] and (first[0] == 'images' or SPLIT.fullmatch(first[0])):
    part = part or (match[1] if (match := SPLIT.fullmatch(first[0])) else '')
    tail = first[2]
    yield tail, part
  if match := COCO_2014.fullmatch(tail):
    yield match[2], ''  # COCO's numbers are unique, and its splits of 2017 are others than those of 2014


def _contradicts(where: str, folder: str, part: str) -> bool:
  """Whether a file with the last folders `folder` lies in the folder of another part of the data set than `part`."""
  match = PART.fullmatch(os.path.basename(where.removesuffix(folder).rstrip('/')))
  return bool(match and match[1] != part)


def _folded(path: str) -> str:
  """The path without what differs between exports of one name: capitals, %20, and how accents are composed."""
  return unicodedata.normalize('NFC', urllib.parse.unquote(path)).casefold()
