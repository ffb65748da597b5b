"""Folders of records: one for each split and source, named by its fingerprint."""

import glob
import os
from collections.abc import Sequence

from input_pipeline import records
from input_pipeline.record_source import Source


def folder_of(parent: str, split: str, source: Source) -> str:
  """Folder of a source's records, such as records/train-0123456789abcdef."""
  return os.path.join(parent, f'{split}-{source.fingerprint}')


def others(parent: str, split: str, own: str) -> list[str]:
  """Folders with other records of a split; `parent` itself has those of earlier versions."""
  candidates = [parent, *sorted(glob.glob(os.path.join(glob.escape(parent), f'{split}-*', '')))]
  folders = [os.path.normpath(folder) for folder in candidates]
  return [folder for folder in folders if folder != own and os.path.exists(records.manifest_path(folder, split))]


def has(folder: str, split: str, source: Source) -> bool:
  """Whether a folder has complete records of a source."""
  manifest = records.load_manifest(folder, split)
  return manifest is not None and manifest['complete'] and not source.changes(manifest)


def describe(folders: Sequence[str], split: str, source: Source) -> str:
  """Describes folders with other records of a split: their size, and how their source differs; '' if there are none."""
  words = []
  for folder in folders:
    differences = ' and '.join(source.changes(records.load_manifest(folder, split))) or 'nothing'
    words.append(f'{_files(folder, split)} ({_freed(folder, split) / 1e9:.2f} GB; other: {differences})')
  if not words:
    return ''
  return f'. Other records of this split may be deleted if no run uses them: {", ".join(words)}'


def _files(folder: str, split: str) -> str:
  """Pattern of a split's files."""
  return os.path.join(folder, f'{records.NAME}-{split}.*')


def _freed(folder: str, split: str) -> int:
  """Bytes that are free if a split's files are deleted: without those that another folder has too."""
  status = [os.stat(path) for path in glob.glob(_files(glob.escape(folder), split))]
  return sum(each.st_size for each in status if each.st_nlink == 1)
