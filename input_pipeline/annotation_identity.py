"""Identifies annotations by their content, and knows the images that they name, without reading them at every start.

A large file takes a minute to read. So the digest of its bytes and the names of its images are kept in a small file,
which is valid as long as the file's size and time are the same.
"""

import dataclasses
import hashlib
import json
import os

from input_pipeline.lock import locked, temporary
from jaxdet.annotations import columns
from jaxdet.annotations import files as annotation_files
from jaxdet.annotations.columns import Annotations

VERSION = 1  # of the small files, and of the rule for names of images


@dataclasses.dataclass(frozen=True)
class Identity:
  """Content of an annotation file, or of a split of VOC."""

  path: str
  status: str  # digest of the size and time of its files
  sha256: str  # of its bytes
  file_names: tuple[str, ...]  # of its images, as written
  just_read: Annotations | None = dataclasses.field(default=None, compare=False)  # if they had to be read

  def read(self) -> Annotations:
    """The annotations.

    Raises:
      ValueError: they are not valid, or have changed.
    """
    annotations = self.just_read or columns.read(self.path)
    _check_unchanged(self.path, self.status)
    return annotations


def identify(path: str, folder: str) -> Identity:
  """Identifies annotations; `folder` keeps the small file.

  Raises:
    FileNotFoundError: there are no such annotations.
    ValueError: they are not valid, or change while they are read.
    CannotWrite: they must be read, and `folder` is not writable.
  """
  name = os.path.relpath(path, folder)  # the same wherever the disk is mounted
  kept = os.path.join(folder, f'annotations-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json')
  status = _status(path)
  known = _load(kept, path)
  if known and known.status == status:
    return known
  with locked(f'{kept}.lock', f'reading {path}'):
    known = _load(kept, path)  # another process may have been waited for
    if known and known.status == status:
      return known
    sha256 = _sha256(path)
    if known and known.sha256 == sha256:
      found = dataclasses.replace(known, status=status)
    else:
      annotations = columns.read(path)
      found = Identity(path, status, sha256, annotations.file_names, annotations)
    _check_unchanged(path, status)
    _save(kept, found, name)
  return found


def _status(path: str) -> str:
  """Digest of the size and time of every file of the annotations."""
  digest = hashlib.sha256()
  for file in annotation_files.files(path):
    status = os.stat(file)
    digest.update(f'{status.st_size} {status.st_mtime_ns}\n'.encode())
  return digest.hexdigest()


def _sha256(path: str) -> str:
  """Digest of the bytes of every file of the annotations; of a single file it is that of `sha256sum`."""
  digest = hashlib.sha256()
  paths = annotation_files.files(path)
  for file in paths:
    if len(paths) > 1:
      digest.update(f'{os.stat(file).st_size}\n'.encode())
    with open(file, 'rb') as f:
      hashlib.file_digest(f, lambda: digest)
  return digest.hexdigest()


def _check_unchanged(path: str, status: str) -> None:
  if _status(path) != status:
    raise ValueError(f'{path} has changed while it was read: start again when it is complete')


def _load(kept: str, path: str) -> Identity | None:
  """What is kept of the annotations; None if there is nothing, or nothing of this version."""
  try:
    with open(kept) as f:
      content = json.load(f)
    if content['version'] != VERSION:
      return None
    return Identity(path, content['status'], content['sha256'], tuple(content['file_names']))
  except (FileNotFoundError, ValueError, TypeError, KeyError):
    return None


def _save(kept: str, identity: Identity, name: str) -> None:
  content = {
    'version': VERSION,
    'annotations': name,
    'status': identity.status,
    'sha256': identity.sha256,
    'file_names': identity.file_names,
  }
  with open(temporary(kept), 'w') as f:
    json.dump(content, f)
  os.replace(temporary(kept), kept)
