"""Reads annotation files by path: JSON of LVIS or COCO, or splits of VOC's folders, as the same lists of entries."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from jaxdet.annotations import voc_folder
from jaxdet.annotations.json_stream import json_entries
from jaxdet.annotations.problems import Problems


def find(folder: str, names: Sequence[str]) -> str:
  """Finds the first of `names` that exists below `folder`.

  A name is a file's, or that of splits of VOC such as 'VOC2007/trainval+VOC2012/trainval' (see `voc_folder`).

  Raises:
    FileNotFoundError: none exists; the message lists all missing files.
  """
  paths = [os.path.join(folder, name) for name in names]
  missing = []
  for path in paths:
    lacking = [file for file in _first_files(path) if not os.path.exists(file)]
    if not lacking:
      return path
    missing += lacking
  raise FileNotFoundError(
    f'no annotation file: none of {", ".join(missing)} exists. Download and unpack the annotations there '
    '(https://www.lvisdataset.org/dataset, https://cocodataset.org/#download or '
    'http://host.robots.ox.ac.uk/pascal/VOC), or set config.data.dir to their folder'
  )


def files(path: str) -> list[str]:
  """All files that are read for a path; raises FileNotFoundError if a file that lists others is missing."""
  for file in _first_files(path):
    if not os.path.exists(file):
      raise FileNotFoundError(f'no annotation file {file}')
  return voc_folder.files(path) if voc_folder.is_split(path) else [path]


def _first_files(path: str) -> list[str]:
  """Files that `path` itself names."""
  return voc_folder.image_lists(path) if voc_folder.is_split(path) else [path]


def entries(path: str, names: Collection[str], problems: Problems) -> Iterator[tuple[str, Any]]:
  """Yields (name, entry) of the lists `names` of an annotation file; see `json_entries`, `voc_folder.entries`.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file as a whole cannot be read. Problems of single files of VOC go into `problems`.
  """
  if voc_folder.is_split(path):
    return voc_folder.entries(path, names, problems)
  return json_entries(path, names)
