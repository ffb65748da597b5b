"""Reads a prepared split: shards of records for random access, and an index to sample images by.

A folder holds for each split, as `prepare` writes them:

  detection-train.array_record-00000-of-00098   1024 images each, in the annotation file's order
  detection-train.index.npz                     one row per image, those without objects included
  detection-train.json                          manifest: categories, counts, and the records' source

and, for TFDS, `dataset_info.json` and `features.json`.
"""

import dataclasses
import glob
import json
import os
import threading
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Int, Int64

from input_pipeline.lock import temporary
from jaxdet.annotations.ragged import Ragged
from jaxdet.structures import Category

NAME = 'detection'  # the data set's name for TFDS, and prefix of the file names
IMAGES_PER_SHARD = 1024  # about 170 MB of COCO's photographs


class RecordsNotFound(FileNotFoundError):
  """There are no complete records of this split."""


def manifest_path(folder: str, split: str) -> str:
  return os.path.join(folder, f'{NAME}-{split}.json')


def index_path(folder: str, split: str) -> str:
  return os.path.join(folder, f'{NAME}-{split}.index.npz')


def shard_paths(folder: str, split: str, num_images: int) -> list[str]:
  """Paths of a split's shards; shard s holds images s * 1024 and following."""
  count = num_shards(num_images)
  return [os.path.join(folder, f'{NAME}-{split}.array_record-{s:05d}-of-{count:05d}') for s in range(count)]


def num_shards(num_images: int) -> int:
  return -(-num_images // IMAGES_PER_SHARD)


def shard_positions(num_images: int) -> list[range]:
  """Positions of the images in each shard."""
  starts = range(0, num_images, IMAGES_PER_SHARD)
  return [range(start, min(start + IMAGES_PER_SHARD, num_images)) for start in starts]


@dataclasses.dataclass(frozen=True)
class Index:
  """Columns of I images for samplers, which do not read the records; row i is the image with index i everywhere."""

  image_ids: Int64[np.ndarray, 'I']
  image_sizes: Int[np.ndarray, 'I 2']  # int32 (height, width), pixels
  file_names: tuple[str, ...]  # below the image folder
  labels: Ragged  # int32, one per object of each image
  crowds: Ragged  # bool, one per object

  def save(self, path: str) -> None:
    """Writes all columns atomically: a file of this name is never incomplete."""
    with open(temporary(path), 'wb') as f:
      np.savez_compressed(
        f,
        image_ids=self.image_ids,
        image_sizes=self.image_sizes,
        file_names=np.array(self.file_names, dtype=np.str_),
        offsets=self.labels.offsets,
        labels=self.labels.values,
        crowds=self.crowds.values,
      )
    os.replace(temporary(path), path)

  @classmethod
  def load(cls, path: str) -> 'Index':
    with np.load(path) as columns:
      offsets = columns['offsets']
      return cls(
        image_ids=columns['image_ids'],
        image_sizes=columns['image_sizes'],
        file_names=tuple(columns['file_names'].tolist()),
        labels=Ragged(columns['labels'], offsets),
        crowds=Ragged(columns['crowds'], offsets),
      )


@dataclasses.dataclass
class Records:
  """One split's records: columns in memory, images on demand from any number of threads."""

  folder: str
  split: str
  categories: tuple[Category, ...]  # sorted by id; a label is a position in it
  counts: Mapping[str, int]  # special cases and dropped objects of the preparation, by name
  index: Index
  features: tuple[str, ...] = ()  # names of `examples.OPTIONAL` that all records have
  annotations: str = ''  # digest of the annotation file's bytes

  def __post_init__(self):
    self._paths = shard_paths(self.folder, self.split, len(self))
    self._readers: dict[int, array_record_module.ArrayRecordReader] = {}
    self._lock = threading.Lock()

  @classmethod
  def open(cls, folder: str, split: str) -> 'Records':
    """Opens the records that `prepare` made.

    Raises:
      RecordsNotFound: the split has none, their preparation is not finished, or a file is missing or damaged.
      ValueError: their manifest is damaged.
    """
    folder = os.fspath(folder)
    manifest = load_manifest(folder, split)
    if manifest is None or not manifest['complete']:
      raise RecordsNotFound(f"no complete records of split '{split}' in {folder}: prepare them first")
    index = index_path(folder, split)
    paths = shard_paths(folder, split, manifest['num_images'])
    for path in [index, *paths]:
      if not os.path.exists(path):
        raise RecordsNotFound(f"the records of split '{split}' lack {path}: prepare them again")
    for number, shard in manifest.get('shards', {}).items():
      if os.path.getsize(paths[int(number)]) != shard['bytes']:
        raise RecordsNotFound(f"the records of split '{split}' are damaged: {paths[int(number)]} has another length")
    categories = tuple(Category(**category) for category in manifest['categories'])
    features = tuple(manifest.get('features', ()))
    annotations = manifest.get('source', {}).get('annotations', '')
    try:
      columns = Index.load(index)
    except (zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
      raise RecordsNotFound(f"the records of split '{split}' are damaged: {index} ({error})") from error
    return cls(folder, split, categories, manifest['counts'], columns, features, annotations)

  def __len__(self) -> int:
    return len(self.index.image_ids)

  @property
  def image_ids(self) -> Int64[np.ndarray, 'I']:
    return self.index.image_ids

  @property
  def image_sizes(self) -> Int[np.ndarray, 'I 2']:
    """int32 (height, width) of each file."""
    return self.index.image_sizes

  @property
  def file_names(self) -> tuple[str, ...]:
    return self.index.file_names

  @property
  def labels(self) -> Ragged:
    """Labels of each image's objects, crowds included."""
    return self.index.labels

  @property
  def crowds(self) -> Ragged:
    """Crowd flags of the same objects."""
    return self.index.crowds

  def read(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
    """Reads the records of these images, in this order; see `examples.parse`.

    Raises:
      IndexError: an index is outside 0 .. len - 1.
    """
    indices = np.asarray(indices, np.int64)
    wrong = indices[(indices < 0) | (indices >= len(self))]
    if len(wrong):
      raise IndexError(f"images {wrong[:10].tolist()} of split '{self.split}', which has {len(self)}")
    shards, rows = np.divmod(indices, IMAGES_PER_SHARD)
    records: list[bytes] = [b''] * len(indices)
    for shard in np.unique(shards):
      places = np.flatnonzero(shards == shard)
      found = self._reader(int(shard)).read(rows[places].tolist())
      for place, record in zip(places.tolist(), found, strict=True):
        records[place] = record
    return records

  def _reader(self, shard: int) -> array_record_module.ArrayRecordReader:
    with self._lock:
      if shard not in self._readers:
        self._readers[shard] = array_record_module.ArrayRecordReader(
          self._paths[shard], options='readahead_buffer_size:0,max_parallelism:0', file_reader_buffer_size=32768
        )
      return self._readers[shard]

  def __getstate__(self):  # readers and locks stay in their process
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

  def __setstate__(self, state):
    self.__dict__.update(state)
    self.__post_init__()


def load_manifest(folder: str, split: str) -> dict | None:
  """Loads the manifest of the split's records; None if there are no records."""
  path = manifest_path(folder, split)
  if not os.path.exists(path):
    return None
  try:
    with open(path) as f:
      return json.load(f)
  except ValueError as error:
    raise ValueError(f'{path} is damaged ({error}): delete this folder of records, they are made again') from error


def save_manifest(folder: str, split: str, manifest: dict) -> None:
  path = manifest_path(folder, split)
  with open(temporary(path), 'w') as f:
    json.dump(manifest, f, indent=1)
  os.replace(temporary(path), path)


def splits(folder: str) -> list[str]:
  """Names of the splits with complete records."""
  paths = sorted(glob.glob(manifest_path(glob.escape(folder), '*')))
  names = [os.path.basename(path).removeprefix(f'{NAME}-').removesuffix('.json') for path in paths]
  return [name for name in names if load_manifest(folder, name)['complete']]
