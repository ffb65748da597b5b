"""Writes TFDS metadata of a folder of records, for `tfds.builder_from_directory(folder)`, without TFDS.

Importing TFDS takes seconds, and it imports OpenCV if it can. Its metadata are two files of JSON: the records' features
as nested messages, and the data set's name, version and splits.
"""

import dataclasses
import json
import os
from collections.abc import Collection

from input_pipeline import examples, records

VERSION = '1.0.0'
DESCRIPTION = """Images with boxes, polygons and labels, as jaxdet prepares them from annotations of LVIS or COCO.
Labels are positions in the category table sorted by id; boxes are (x1, y1, x2, y2) in pixels."""

DTYPES = {'bytes': 'string', 'int64': 'int64', 'float32': 'float32'}
TENSOR = 'tensorflow_datasets.core.features.tensor_feature.Tensor'
FEATURES_DICT = 'tensorflow_datasets.core.features.features_dict.FeaturesDict'


@dataclasses.dataclass(frozen=True)
class Split:
  """A complete split: its name, the bytes of its shards, and the number of images in each."""

  name: str
  num_bytes: int
  shard_lengths: list[int]


def features(optional: Collection[str] = ()) -> dict:
  """TFDS's JSON for `examples.FEATURES` and the given ones of `examples.OPTIONAL`, nested by the slashes of names.

  Images stay encoded.
  """
  nested = {}
  for name, (kind, shape) in {**examples.FEATURES, **{name: examples.OPTIONAL[name] for name in optional}}.items():
    *parents, leaf = name.split('/')
    place = nested
    for parent in parents:
      place = place.setdefault(parent, {})
    place[leaf] = (kind, shape)
  return _features_dict(nested)


def _features_dict(nested: dict) -> dict:
  parts = {
    name: _features_dict(part) if isinstance(part, dict) else _tensor(*part) for name, part in sorted(nested.items())
  }
  return {'pythonClassName': FEATURES_DICT, 'featuresDict': {'features': parts}}


def _tensor(kind: str, shape: tuple[int | None, ...]) -> dict:
  # Protocol buffers write 64-bit integers as strings; -1 is an unknown size, and a scalar has no dimensions.
  dimensions = [str(-1 if size is None else size) for size in shape]
  return {
    'pythonClassName': TENSOR,
    'tensor': {
      'shape': {'dimensions': dimensions} if dimensions else {},
      'dtype': DTYPES[kind],
      'encoding': 'none',
    },
  }


def common_features(folder: str) -> list[str]:
  """Names of `examples.OPTIONAL` that the records of all complete splits in a folder have."""
  found = [set(records.load_manifest(folder, split).get('features', ())) for split in records.splits(folder)]
  return sorted(set.intersection(*found)) if found else []


def splits(folder: str) -> list[Split]:
  """The complete splits in a folder of records."""
  found = []
  for split in records.splits(folder):
    num_images = records.load_manifest(folder, split)['num_images']
    full, rest = divmod(num_images, records.IMAGES_PER_SHARD)
    found.append(
      Split(
        name=split,
        num_bytes=sum(os.path.getsize(path) for path in records.shard_paths(folder, split, num_images)),
        shard_lengths=[records.IMAGES_PER_SHARD] * full + [rest] * (rest > 0),
      )
    )
  return found


def write(folder: str) -> None:
  """Writes `dataset_info.json` and `features.json` for the complete splits in `folder`."""
  info = {
    'name': records.NAME,
    'version': VERSION,
    'description': DESCRIPTION,
    'fileFormat': 'array_record',
    'splits': [
      {
        'name': split.name,
        'numBytes': str(split.num_bytes),
        'shardLengths': [str(length) for length in split.shard_lengths],
        'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
      }
      for split in splits(folder)
    ],
  }
  for name, content in (('dataset_info.json', info), ('features.json', features(common_features(folder)))):
    path = os.path.join(folder, name)
    with open(f'{path}.partial', 'w') as f:
      json.dump(content, f, indent=2)
    os.replace(f'{path}.partial', path)
