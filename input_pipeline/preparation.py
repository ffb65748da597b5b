"""Makes a split's records once: shards on disk, from its annotations and a folder of images."""

import dataclasses
import glob
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import tqdm
from absl import logging
from array_record.python import array_record_module

from input_pipeline import examples, images, records, tfds_metadata
from input_pipeline.examples import Example
from input_pipeline.fields.field import Companion
from input_pipeline.records import Index, Records
from jaxdet.annotations import columns
from jaxdet.annotations import files as annotation_files
from jaxdet.annotations.columns import Annotations
from jaxdet.annotations.ragged import Ragged

VERSION = 2  # of the records' format; records of another version are made again
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
  """Opens the split's records in `out_dir`; makes them if they are missing or were made from other annotations.

  Every image is decoded once and compared with its annotated size. Image files are stored unchanged. An interrupted
  run continues at the first unfinished shard. Memory: the annotations as columns (under 1 GB for LVIS v1's training
  split) and one shard of images (about 0.2 GB). One process at a time may prepare a split.

  Args:
    annotation_path: LVIS or COCO JSON, or splits of VOC, see jaxdet/annotations/files.py.
    image_root: folder of the images, in any layout of `images.find`.
    out_dir: folder of the records; splits share it.
    split: 'train', 'val', ...; part of the file names.
    num_workers: threads that read and check images; None: one per CPU.
    wanted: features of `examples.OPTIONAL` that records must have; records without them are made again.
    companions: files beside the images that are stored in the records.

  Raises:
    FileNotFoundError: the annotation file does not exist.
    ValueError: the annotations contradict themselves or lack a wanted feature, or images or their companions are
      missing, broken or of another size than annotated; the message names a file that lists them all.
  """
  source = _Source(annotation_path)
  manifest = records.load_manifest(out_dir, split)
  folders = {companion.feature: f'{companion.folder}/*{companion.suffix}' for companion in companions}
  if manifest is not None and source.made(manifest) and holds(manifest, wanted, folders):
    try:
      return Records.open(out_dir, split)
    except records.RecordsNotFound as reason:
      logging.info('Going on with what is there: %s', reason)
  else:
    if manifest is not None:
      logging.info("Making split '%s' anew: %s, or what records are to hold, has changed", split, annotation_path)
    _remove(out_dir, split)
  os.makedirs(out_dir, exist_ok=True)

  annotations = columns.read(annotation_path)
  features = _optional_features(annotations, wanted, companions)
  manifest = {
    'version': VERSION,
    'complete': False,
    'source': source.fingerprint(),
    'categories': [vars(category) for category in annotations.categories],
    'counts': dict(annotations.counts),
    'num_images': len(annotations),
    'features': features,
    'folders': folders,
  }
  records.save_manifest(out_dir, split, manifest)
  files = _Files(image_root, annotations.file_names, companions)
  file_names, problems = _write_shards(annotations, files, out_dir, split, num_workers or os.cpu_count())
  if problems:
    raise ValueError(_report(problems, annotation_path, image_root, os.path.join(out_dir, f'{split}-problems.txt')))
  _index(annotations, file_names).save(records.index_path(out_dir, split))
  records.save_manifest(out_dir, split, {**manifest, 'complete': True})
  tfds_metadata.write(out_dir)
  return Records.open(out_dir, split)


class _Source:
  """Identifies the annotation files of records by their bytes; if time and size agree, they are not read again."""

  def __init__(self, path: str):
    self._files = annotation_files.files(path)
    status = [os.stat(file) for file in self._files]
    self._quick = {'bytes': sum(s.st_size for s in status), 'mtime_ns': sum(s.st_mtime_ns for s in status)}

  def fingerprint(self) -> dict:
    digest = hashlib.sha256()
    for file in self._files:
      with open(file, 'rb') as f:
        hashlib.file_digest(f, lambda: digest)
    return {**self._quick, 'sha256': digest.hexdigest()}

  def made(self, manifest: dict) -> bool:
    """Whether the records of this manifest were made from this file and have this program's format."""
    if manifest['version'] != VERSION or manifest['source']['bytes'] != self._quick['bytes']:
      return False
    unchanged = manifest['source']['mtime_ns'] == self._quick['mtime_ns']
    return unchanged or manifest['source']['sha256'] == self.fingerprint()['sha256']


def _remove(out_dir: str, split: str) -> None:
  """Removes a split's files, the manifest first: without it, files left by an interruption are ignored."""
  stem = os.path.join(glob.escape(out_dir), f'{records.NAME}-{split}')
  shards = glob.glob(f'{stem}.array_record-*')
  for path in [records.manifest_path(out_dir, split), records.index_path(out_dir, split), *shards]:
    if os.path.exists(path):
      os.remove(path)


class _Files:
  """Image files, and their companion files."""

  def __init__(self, root: str, names: Sequence[str], companions: Sequence[Companion]):
    self._root, self._companions = root, companions
    self.paths, problems = images.find(root, names)  # image paths below the root; '': a problem
    self.problems = [f'{name}: {problem}' for name, problem in problems.items()]
    self._beside = []
    for companion in companions:
      own = [os.path.splitext(name)[0] + companion.suffix for name in names]
      paths, problems = images.find(os.path.join(root, companion.folder), own)
      self._beside.append(paths)
      self.problems += [f'{os.path.join(companion.folder, name)}: {problem}' for name, problem in problems.items()]

  def __contains__(self, position: int) -> bool:
    """Whether all of an image's files were found."""
    return all(paths[position] for paths in (self.paths, *self._beside))

  def load(self, position: int, height: int, width: int) -> tuple[bytes, dict[str, bytes], str]:
    """Loads the image's file and its companions by feature, and describes their problem ('' if none)."""
    encoded = self._read(self.paths[position])
    problem = images.check(encoded, height, width)
    problem = problem and f'{self.paths[position]}: {problem}'
    beside = {}
    for companion, paths in zip(self._companions, self._beside, strict=True):
      path = os.path.join(companion.folder, paths[position])
      beside[companion.feature] = self._read(path)
      if not problem and (found := companion.problem(beside[companion.feature], height, width)):
        problem = f'{path}: {found}'
    return encoded, beside, problem

  def _read(self, path: str) -> bytes:
    with open(os.path.join(self._root, path), 'rb') as f:
      return f.read()


def _write_shards(
  annotations: Annotations, files: _Files, out_dir: str, split: str, num_workers: int
) -> tuple[list[str], list[str]]:
  """Writes the missing shards; returns the images' paths below the root, and the problems of files."""
  problems = list(files.problems)
  progress = tqdm.tqdm(total=len(annotations), desc=f'records of {split}', unit=' images')
  with ThreadPoolExecutor(num_workers) as pool, progress:
    for shard, target in enumerate(records.shard_paths(out_dir, split, len(annotations))):
      first = shard * records.IMAGES_PER_SHARD
      positions = range(first, min(first + records.IMAGES_PER_SHARD, len(annotations)))
      if not os.path.exists(target):
        problems += _write_shard(target, annotations, files, positions, pool, progress)
      else:
        progress.update(len(positions))
  return files.paths, problems


def _write_shard(
  target: str,
  annotations: Annotations,
  files: _Files,
  positions: range,
  pool: ThreadPoolExecutor,
  progress: tqdm.tqdm,
) -> list[str]:
  """Writes one shard under a temporary name and renames it if all its images are good; else returns the problems."""
  partial = f'{target}.partial'
  # Group size 1: each record can be read alone. JPEG files do not compress further.
  writer = array_record_module.ArrayRecordWriter(partial, 'group_size:1,uncompressed')
  problems = []

  def load(position: int) -> tuple[bytes, dict[str, bytes], str]:
    return files.load(position, *annotations.image_sizes[position].tolist())

  found = [position for position in positions if position in files]
  for position, (encoded, beside, problem) in zip(found, pool.map(load, found), strict=True):
    if problem:
      problems.append(problem)
    elif not problems:
      example = _example(annotations, position, files.paths[position], encoded, beside)
      writer.write(examples.serialize(example))
    progress.update()
  writer.close()
  if problems or len(found) < len(positions):
    os.remove(partial)
  else:
    os.replace(partial, target)
  return problems


def _example(
  annotations: Annotations, position: int, path: str, encoded: bytes, beside: Mapping[str, bytes]
) -> Example:
  height, width = annotations.image_sizes[position].tolist()
  return Example(
    encoded=encoded,
    image_id=int(annotations.image_ids[position]),
    height=height,
    width=width,
    file_name=path,
    objects=annotations.objects(position),
    image=dataclasses.replace(annotations.image(position), files=beside),
  )


def holds(manifest: Mapping, wanted: Sequence[str], folders: Mapping[str, str]) -> bool:
  """Whether records have at least these features, with companion files from these folders."""
  there = manifest.get('folders', {})
  return set(wanted) <= set(manifest.get('features', ())) and folders.items() <= there.items()


def _optional_features(annotations: Annotations, wanted: Sequence[str], companions: Sequence[Companion]) -> list[str]:
  """Names of examples.OPTIONAL that records of these annotations have.

  Raises:
    ValueError: a wanted feature is missing.
  """
  example = _example(annotations, 0, '', b'', {companion.feature: b'' for companion in companions})
  features = sorted(examples.features_of(example).keys() & examples.OPTIONAL.keys())
  if lacking := sorted(set(wanted) - set(features)):
    raise ValueError(f'{annotations.path} has nothing for {", ".join(lacking)} of records, which config.data asks for')
  return features


def _index(annotations: Annotations, file_names: Sequence[str]) -> Index:
  rows, offsets = annotations.objects_in_image.values, annotations.objects_in_image.offsets
  return Index(
    image_ids=annotations.image_ids,
    image_sizes=annotations.image_sizes,
    file_names=tuple(file_names),
    labels=Ragged(annotations.labels[rows].astype('int32'), offsets),
    crowds=Ragged(annotations.crowds[rows].astype(bool), offsets),
  )


def _report(problems: list[str], annotation_path: str, image_root: str, path: str) -> str:
  """Writes all problems into a file; returns an error message with the first of them."""
  with open(path, 'w') as f:
    f.writelines(f'{problem}\n' for problem in problems)
  lines = '\n'.join(f'  {problem}' for problem in problems[:SHOWN])
  more = f'\n  ... and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
  return (
    f'{len(problems)} images of {annotation_path} are missing below {image_root} or broken '
    f'(all are listed in {path}):\n{lines}{more}\n'
    'Download these again, or name the right folder of images; what is finished is kept.'
  )
