"""Opens the records of a split, and makes them if necessary."""

import hashlib
import os
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from input_pipeline import record_folders, record_source
from input_pipeline.fields.table import Fields
from input_pipeline.lock import CannotWrite
from input_pipeline.preparation import prepare_source
from input_pipeline.records import Records
from jaxdet.annotations.files import find


def open_split(data: ConfigDict, split: str, names: Sequence[str], fields: Fields, workdir: str) -> tuple[str, Records]:
  """Returns (path of the annotation file, records); of several processes one makes the records, the others wait."""
  path = find(data.dir, names)
  beside = os.path.join(data.dir, data.records)
  elsewhere = os.path.join(workdir or _cache_folder(data.dir), os.path.basename(data.records))
  try:
    return path, _open(path, data.dir, beside, split, fields)
  except CannotWrite as error:
    logging.info('Cannot write records into %s (%s): they go to %s', beside, error.strerror, elsewhere)
  return path, _open(path, data.dir, elsewhere, split, fields)


def _open(path: str, image_root: str, parent: str, split: str, fields: Fields) -> Records:
  """Opens or makes records in a folder of their own below `parent`."""
  source = record_source.open_source(path, image_root, parent, fields.companions)
  own = record_folders.folder_of(parent, split, source)
  others = record_folders.others(parent, split, own)
  usable = next((folder for folder in (own, *others) if record_folders.has(folder, split, source)), own)
  return prepare_source(source, usable, split, wanted=fields.wanted, others=others)


def _cache_folder(data_dir: str) -> str:
  """Folder for this data set in the user's cache."""
  cache = os.environ.get('XDG_CACHE_HOME', os.path.join(os.path.expanduser('~'), '.cache'))
  name = hashlib.sha256(os.path.abspath(data_dir).encode()).hexdigest()[:16]
  return os.path.join(cache, 'jaxdet', name)
