"""Makes a split's records once: shards on disk, from its annotations and a folder of images."""

import glob
import os
from collections.abc import Iterable, Sequence

from absl import logging

from input_pipeline import drops, examples, record_folders, record_source, records, tfds_metadata
from input_pipeline.fields.field import Companion
from input_pipeline.lock import locked
from input_pipeline.record_source import Source
from input_pipeline.records import Index, Records
from input_pipeline.shards import Shards, ShardWriter, example_of
from jaxdet.annotations.columns import Annotations
from jaxdet.annotations.ragged import Ragged

SHOWN = 10  # problems in an error message; a file lists all


def prepare(
  annotation_path: str,
  image_root: str,
  out_dir: str,
  split: str,
  num_workers: int | None = None,
  wanted: Sequence[str] = (),
  companions: Sequence[Companion] = (),
) -> Records:
  """Opens the split's records in `out_dir`; makes them if they are missing.

  Every image is decoded once and compared with its annotated size. Image files are stored unchanged. An interrupted
  run continues at the first unfinished shard. Memory: the annotations as columns (under 1 GB for LVIS v1's training
  split) and one shard of images (about 0.2 GB).

  Args:
    annotation_path: LVIS or COCO JSON, or splits of VOC, see jaxdet/annotations/files.py.
    image_root: folder of the images, in any layout of `images.find`.
    out_dir: folder of the records; splits may share it.
    split: 'train', 'val', ...; part of the file names.
    num_workers: threads that read and check images; None: one per CPU.
    wanted: features of `examples.OPTIONAL` that records must have.
    companions: files beside the images that are stored in the records.

  Raises:
    FileNotFoundError: the annotation file does not exist.
    ValueError: the annotations contradict themselves or lack a wanted feature, or images or their companions are
      missing, broken or of another size than annotated (the message names a file that lists them all), or the folder
      has records of another source.
    CannotWrite: records must be made, and `out_dir` is not writable.
  """
  source = record_source.open_source(annotation_path, image_root, out_dir, companions)
  return prepare_source(source, out_dir, split, num_workers, wanted)


def prepare_source(
  source: Source,
  out_dir: str,
  split: str,
  num_workers: int | None = None,
  wanted: Sequence[str] = (),
  others: Sequence[str] = (),
) -> Records:
  """Opens the records of a source in `out_dir`, or makes them, see `prepare`; other processes wait meanwhile.

  Args:
    others: folders with other records of this split; shards of the same images are linked, not made.
  """
  opened = _open(source, out_dir, split, wanted)
  if opened:
    return opened
  problems_path = os.path.join(out_dir, f'{split}-problems.txt')
  before = _status(problems_path)
  with locked(os.path.join(out_dir, f'{split}.lock'), f"making records of split '{split}' in {out_dir}"):
    opened = _open(source, out_dir, split, wanted)
    if opened:
      return opened
    if _status(problems_path) != before:  # another process has tried meanwhile: all would find the same
      with open(problems_path, encoding='utf-8') as f:
        raise ValueError(_message(f.read().splitlines(), source, problems_path))
    problems = _make(source, out_dir, split, num_workers or os.cpu_count(), wanted, others)
    if problems:
      with open(problems_path, 'w', encoding='utf-8', errors='backslashreplace') as f:
        f.writelines(f'{problem}\n' for problem in problems)
      raise ValueError(_message(problems, source, problems_path))
    if before:
      os.remove(problems_path)
  return Records.open(out_dir, split)


def _open(source: Source, folder: str, split: str, wanted: Sequence[str]) -> Records | None:
  """Opens complete records; None if there are none, or a file of theirs is missing.

  Raises:
    ValueError: they are of another source, or lack a wanted feature.
  """
  manifest = records.load_manifest(folder, split)
  if manifest is None:
    return None
  if changes := source.changes(manifest):
    raise ValueError(
      f"{folder} has records of split '{split}' of another source (other: {', '.join(changes)}): name another folder, "
      'or delete this one'
    )
  if not manifest['complete']:
    return None
  _check_wanted(manifest['features'], wanted, source.annotations.path)
  try:
    return Records.open(folder, split)
  except records.RecordsNotFound as reason:
    logging.info('Going on with what is there: %s', reason)
    return None


def _make(
  source: Source, folder: str, split: str, num_workers: int, wanted: Sequence[str], others: Sequence[str]
) -> list[str]:
  """Makes records; returns the problems of image files, with which they stay incomplete."""
  logging.info("Making records of split '%s' in %s%s", split, folder, record_folders.describe(others, split, source))
  for left_over in glob.glob(os.path.join(glob.escape(folder), f'{records.NAME}-{split}.*.partial')):
    os.remove(left_over)  # of a process that has ended, since this one has the lock
  in_file = source.annotations.read()
  annotations = drops.without_objects_outside(in_file)
  features = _optional_features(annotations, source.parts['companions'])
  _check_wanted(features, wanted, annotations.path)
  manifest = {
    'complete': False,
    'source': {'path': annotations.path, **source.parts},
    'categories': [vars(category) for category in annotations.categories],
    'counts': dict(annotations.counts),
    'num_images': len(annotations),
    'features': features,
    'shards': _shards_of(folder, split, source),
  }
  records.save_manifest(folder, split, manifest)

  def save(shards: Shards) -> None:
    records.save_manifest(folder, split, {**manifest, 'shards': {**manifest['shards'], **shards}})

  writer = ShardWriter(annotations, source.files, source.shards, folder, split)
  elsewhere = {other: _shards_of(other, split, source) for other in others}
  shards, problems = writer.write(manifest['shards'], elsewhere, num_workers, save)
  if problems:
    return problems
  unturned = [position for shard in shards.values() for position in shard['unturned']]
  turned_boxes = drops.with_turned_boxes(in_file, unturned)
  if turned_boxes:
    names = ', '.join(source.files.paths[position] for position in turned_boxes[:SHOWN])
    logging.warning('boxes of %d images of %s fit only the turned image: %s', len(turned_boxes), in_file.path, names)
  counts = {**annotations.counts, drops.UNTURNED: len(unturned), drops.TURNED_BOXES: len(turned_boxes)}
  _index(annotations, source.files.paths).save(records.index_path(folder, split))
  records.save_manifest(folder, split, {**manifest, 'shards': shards, 'counts': counts, 'complete': True})
  tfds_metadata.write(folder)
  return []


def _shards_of(folder: str, split: str, source: Source) -> Shards:
  """Finished shards of records that differ from these by image files alone."""
  manifest = records.load_manifest(folder, split)
  if manifest is None or set(source.changes(manifest)) - {record_source.PARTS['images']}:
    return {}
  return manifest['shards']


def _optional_features(annotations: Annotations, companions: Iterable[str]) -> list[str]:
  """Names of examples.OPTIONAL that records of these annotations have; `companions` are those of files."""
  example = example_of(annotations, 0, '', b'', {feature: b'' for feature in companions})
  return sorted(examples.features_of(example).keys() & examples.OPTIONAL.keys())


def _check_wanted(features: Sequence[str], wanted: Sequence[str], path: str) -> None:
  if lacking := sorted(set(wanted) - set(features)):
    raise ValueError(f'{path} has nothing for {", ".join(lacking)} of records, which config.data asks for')


def _index(annotations: Annotations, file_names: Sequence[str]) -> Index:
  rows, offsets = annotations.objects_in_image.values, annotations.objects_in_image.offsets
  return Index(
    image_ids=annotations.image_ids,
    image_sizes=annotations.image_sizes,
    file_names=tuple(file_names),
    labels=Ragged(annotations.labels[rows].astype('int32'), offsets),
    crowds=Ragged(annotations.crowds[rows].astype(bool), offsets),
  )


def _status(path: str) -> tuple[int, int] | None:
  """(inode, time) of a file; None if there is none."""
  try:
    status = os.stat(path)
  except FileNotFoundError:
    return None
  return status.st_ino, status.st_mtime_ns


def _message(problems: Sequence[str], source: Source, path: str) -> str:
  """An error message with the first problems; the file at `path` has all."""
  lines = '\n'.join(f'  {problem}' for problem in problems[:SHOWN])
  more = f'\n  ... and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
  return (
    f'{len(problems)} images of {source.annotations.path} are missing below {source.image_root} or broken '
    f'(all are listed in {path}):\n{lines}{more}\n'
    'Correct these names, copy or download these files again, or name the right folder of images; what is finished is '
    'kept.'
  )
