"""Lists the folders below a root, each once: regular files, folders, links, and what is neither."""

import dataclasses
import os
from collections.abc import Iterator


@dataclasses.dataclass
class Listing:
  """Contents of one folder, by name."""

  files: set[str] = dataclasses.field(default_factory=set)  # regular files, and links to such
  links: set[str] = dataclasses.field(default_factory=set)  # those of `files` that are symbolic links
  folders: set[str] = dataclasses.field(default_factory=set)  # and links to folders
  unusable: dict[str, str] = dataclasses.field(default_factory=dict)  # all else, with a description

  def __contains__(self, name: str) -> bool:
    return name in self.files or name in self.unusable or name in self.folders


class Folders:
  """Cached listings of the folders below a root, by their path below it; '' is the root."""

  def __init__(self, root: str):
    self._root = root
    self._listings: dict[str, Listing] = {}
    self.unreadable: list[str] = []  # folders that were to be listed and may not be

  def listing(self, folder: str) -> Listing:
    """Contents of a folder; empty if there is no such folder."""
    if folder not in self._listings:
      parent, name = os.path.split(folder)
      there = name in self.listing(parent).folders if folder else os.path.isdir(self._root)
      self._listings[folder] = self._scan(folder) if there else Listing()
    return self._listings[folder]

  def children(self, folder: str) -> list[str]:
    """Paths of the folders in a folder, in alphabetical order."""
    return [os.path.join(folder, name) for name in sorted(self.listing(folder).folders)]

  def listed_files(self) -> Iterator[str]:
    """Paths of the files in all folders listed so far."""
    for folder, listing in self._listings.items():
      yield from (os.path.join(folder, name) for name in sorted(listing.files))

  def problem(self, path: str) -> str:
    """Describes why the entry at this path must not be read; '' if it is a regular file below the root.

    A folder that is a link is the user's own layout, wherever it leads. A file that is a link must lead to a file below
    the root, or below a folder that holds the link.
    """
    folder, name = os.path.split(path)
    listing = self.listing(folder)
    if name in listing.folders:
      return 'is a folder'
    if name in listing.unusable:
      return listing.unusable[name]
    if name in listing.links:
      target = os.path.realpath(os.path.join(self._root, path))
      if not any(_is_below(target, os.path.realpath(above)) for above in self._above(folder)):
        return f'is a link out of the folder of images, to {target}: copy the file, or link the whole folder'
    return ''

  def _above(self, folder: str) -> Iterator[str]:
    """Paths of a folder and of those above it, up to the root."""
    yield os.path.join(self._root, folder)
    while folder:
      folder = os.path.dirname(folder)
      yield os.path.join(self._root, folder)

  def _scan(self, folder: str) -> Listing:
    found = Listing()
    try:
      with os.scandir(os.path.join(self._root, folder)) as entries:
        for entry in entries:
          _add(found, entry)
    except PermissionError:
      self.unreadable.append(folder)
    return found


def _add(listing: Listing, entry: os.DirEntry) -> None:
  try:
    if entry.is_dir():
      listing.folders.add(entry.name)
    elif entry.is_file():
      listing.files.add(entry.name)
      if entry.is_symlink():
        listing.links.add(entry.name)
    elif entry.is_symlink() and not os.path.exists(entry.path):
      listing.unusable[entry.name] = f'not found: it is a link to {os.readlink(entry.path)}, which is not there'
    else:
      listing.unusable[entry.name] = 'is no regular file (a pipe, a socket or a device)'
  except OSError as error:  # such as a link to itself
    listing.unusable[entry.name] = f'not found: it cannot be followed ({error.strerror})'


def _is_below(path: str, folder: str) -> bool:
  return os.path.commonpath([path, folder]) == folder
