"""Writes the shards of a split's records, each at once when all its images are good."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import tqdm
from array_record.python import array_record_module

from input_pipeline import decoding, examples, records
from input_pipeline.examples import Example
from input_pipeline.image_files import ImageFiles
from input_pipeline.lock import temporary
from jaxdet.annotations.columns import Annotations

# Of a manifest, by the shard's number: digest of the image files, positions of the images that EXIF would turn and that
# are not turned, and length of the shard in bytes.
Shards = dict[str, dict]


class ShardWriter:
  """Writes the shards of one split into a folder."""

  def __init__(self, annotations: Annotations, files: ImageFiles, digests: Sequence[str], folder: str, split: str):
    """`digests` are those of the files of each shard."""
    self._annotations, self._files, self._digests = annotations, files, digests
    self._split = split
    self._paths = records.shard_paths(folder, split, len(annotations))

  def write(
    self, finished: Shards, others: Mapping[str, Shards], num_workers: int, save: Callable[[Shards], None]
  ) -> tuple[Shards, list[str]]:
    """Writes the shards that are not finished; returns those that are now, and the problems of image files.

    Args:
      finished: shards that an interrupted run has written.
      others: shards of the same annotations in other folders; those of the same files are linked, not made.
      num_workers: threads that read and check images.
      save: keeps the finished shards in the manifest.
    """
    problems = list(self._files.problems)
    done = {}
    progress = tqdm.tqdm(total=len(self._annotations), desc=f'records of {self._split}', unit=' images')
    with ThreadPoolExecutor(num_workers) as pool, progress:
      for number, positions in enumerate(records.shard_positions(len(self._annotations))):
        shard = self._finished(number, finished) or self._link(number, others)
        if shard:
          progress.update(len(positions))
        else:
          unturned, found = self._make(number, positions, pool, progress)
          if unturned is not None:
            length = os.path.getsize(self._paths[number])
            shard = {'files': self._digests[number], 'unturned': unturned, 'bytes': length}
          problems += found
        if shard:
          done[str(number)] = shard
          save(done)
    return done, problems

  def _finished(self, number: int, shards: Shards) -> dict | None:
    """A shard of the manifest of the same image files, whose own file is there and whole."""
    shard, path = shards.get(str(number)), self._paths[number]
    there = shard and shard['files'] == self._digests[number] and os.path.exists(path)
    return shard if there and os.path.getsize(path) == shard['bytes'] else None

  def _link(self, number: int, others: Mapping[str, Shards]) -> dict | None:
    """Links a shard of the same image files from another folder, if one has it and the file system can."""
    for folder, shards in others.items():
      shard = shards.get(str(number))
      if shard and shard['files'] == self._digests[number]:
        partial = temporary(self._paths[number])
        try:
          os.link(os.path.join(folder, os.path.basename(self._paths[number])), partial)
        except OSError:  # another disk, a file system without links, or a shard that is gone: it is made instead
          continue
        if os.path.getsize(partial) != shard['bytes']:
          os.remove(partial)
          continue
        os.replace(partial, self._paths[number])
        return shard
    return None

  def _make(
    self, number: int, positions: range, pool: ThreadPoolExecutor, progress: tqdm.tqdm
  ) -> tuple[list[int] | None, list[str]]:
    """Makes one shard under a temporary name, if all its images are good.

    Returns:
      positions of the images that are annotated as before their EXIF turn (None: no shard), and the problems.
    """
    partial = temporary(self._paths[number])
    # Group size 1: each record can be read alone. JPEG files do not compress further.
    writer = array_record_module.ArrayRecordWriter(partial, 'group_size:1,uncompressed')
    problems, unturned = [], []
    found = [position for position in positions if position in self._files]
    for position, (encoded, beside, problem, is_unturned) in zip(found, pool.map(self._load, found), strict=True):
      if problem:
        problems.append(problem)
      elif not problems:
        if is_unturned:
          unturned.append(position)
        writer.write(examples.serialize(self._example(position, encoded, beside)))
      progress.update()
    writer.close()
    if problems or len(found) < len(positions):
      os.remove(partial)
      return None, problems
    os.replace(partial, self._paths[number])
    return unturned, problems

  def _load(self, position: int) -> tuple[bytes, dict[str, bytes], str, bool]:
    """Loads an image's files; returns them, their problem, and whether the image is annotated before its EXIF turn."""
    size = self._annotations.image_sizes[position].tolist()
    encoded, beside, problem = self._files.load(position, *size)
    return encoded, beside, problem, not problem and decoding.is_annotated_unturned(encoded, *size)

  def _example(self, position: int, encoded: bytes, beside: Mapping[str, bytes]) -> Example:
    return example_of(self._annotations, position, self._files.paths[position], encoded, beside)


def example_of(
  annotations: Annotations, position: int, path: str, encoded: bytes, beside: Mapping[str, bytes]
) -> Example:
  """The example of an image: its file, its annotations and its companion files by feature."""
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
