"""Opens the records of a split: process 0 makes them if necessary, the others wait for them."""

import errno
import hashlib
import os
import time
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from input_pipeline.fields.table import Fields
from input_pipeline.preparation import prepare
from input_pipeline.records import Records, RecordsNotFound
from jaxdet.annotations.files import find

WAIT_SECONDS = 6 * 3600  # longest wait for the records of process 0
POLL_SECONDS = 5


def open_split(
  data: ConfigDict, split: str, names: Sequence[str], fields: Fields, workdir: str, process_index: int
) -> tuple[str, Records]:
  """Returns (path of the annotation file, records); process 0 makes missing records, the others wait for them."""
  beside = os.path.join(data.dir, data.records)
  elsewhere = os.path.join(workdir or _cache_folder(data.dir), os.path.basename(data.records))
  if process_index:
    opened = _wait(split, fields.wanted, (beside, elsewhere))
    return find(data.dir, names), opened
  path = find(data.dir, names)
  asked = {'wanted': fields.wanted, 'companions': fields.companions}
  try:
    return path, prepare(path, data.dir, beside, split, **asked)
  except OSError as error:
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
      raise
    logging.info('Cannot write records into %s (%s): they go to %s', beside, error.strerror, elsewhere)
  return path, prepare(path, data.dir, elsewhere, split, **asked)


def _cache_folder(data_dir: str) -> str:
  """Folder for this data set in the user's cache."""
  cache = os.environ.get('XDG_CACHE_HOME', os.path.join(os.path.expanduser('~'), '.cache'))
  name = hashlib.sha256(os.path.abspath(data_dir).encode()).hexdigest()[:16]
  return os.path.join(cache, 'jaxdet', name)


def _wait(split: str, wanted: Sequence[str], folders: Sequence[str]) -> Records:
  """Waits until process 0 has made the split's records with the wanted features in one of the folders."""
  until = time.monotonic() + WAIT_SECONDS
  while time.monotonic() < until:
    for folder in folders:
      try:
        opened = Records.open(folder, split)
        if set(wanted) <= set(opened.features):
          return opened
      except RecordsNotFound:
        pass
    time.sleep(POLL_SECONDS)
  raise TimeoutError(
    f"no records of split '{split}' in {' or '.join(folders)} after {WAIT_SECONDS} s: has process 0 failed, "
    'or is config.data.records not on a file system that all hosts see?'
  )
