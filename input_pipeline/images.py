"""Finds image files in common folder layouts."""

import os
from collections.abc import Sequence


def find(root: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
  """Finds the path below `root` of each image ('' if missing), and lists the missing names.

  A name such as 'val2017/x.jpg' is searched in this order: as written, below `root` and `root`/images; then as 'x.jpg'
  in `root`, in `root`/images, and in the folders directly below these two, in alphabetical order. For LVIS v0.5's
  'COCO_val2014_x.jpg' also 'x.jpg' is tried. Each folder is listed once.
  """
  folders = _Folders(root)
  bases = ('', 'images')
  anywhere = [*bases, *(folder for base in bases for folder in folders.children(base) if folder != 'images')]
  found = [_find_one(folders, name, bases, anywhere) for name in names]
  return found, [name for name, path in zip(names, found, strict=True) if not path]


def _find_one(folders: '_Folders', name: str, bases: Sequence[str], anywhere: Sequence[str]) -> str:
  folder, base = os.path.split(name)
  aliases = [base, base[-16:]] if base.startswith('COCO_') else [base]
  as_written = [os.path.join(b, folder) for b in bases]
  for candidate in [*as_written, *anywhere]:
    for alias in aliases:
      if alias in folders.files(candidate):
        return os.path.join(candidate, alias)
  return ''


class _Folders:
  """Cached listings of the folders below `root`."""

  def __init__(self, root: str):
    self._root = root
    self._listings: dict[str, tuple[set[str], list[str]]] = {}

  def files(self, folder: str) -> set[str]:
    return self._list(folder)[0]

  def children(self, folder: str) -> list[str]:
    return [os.path.join(folder, child) for child in self._list(folder)[1]]

  def _list(self, folder: str) -> tuple[set[str], list[str]]:
    if folder not in self._listings:
      files, children = set(), []
      path = os.path.join(self._root, folder)
      if os.path.isdir(path):
        with os.scandir(path) as entries:
          for entry in entries:
            if entry.is_dir():
              children.append(entry.name)
            else:
              files.add(entry.name)
      self._listings[folder] = files, sorted(children)
    return self._listings[folder]
