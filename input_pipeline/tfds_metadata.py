"""Writes TFDS metadata of a folder of records, for `tfds.builder_from_directory(folder)`."""

import os
from collections.abc import Collection

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline import examples, records

VERSION = '1.0.0'
DESCRIPTION = """Images with boxes, polygons and labels, as jaxdet prepares them from annotations of LVIS or COCO.
Labels are positions in the category table sorted by id; boxes are (x1, y1, x2, y2) in pixels."""

DTYPES = {'bytes': np.object_, 'int64': np.int64, 'float32': np.float32}


def features(optional: Collection[str] = ()) -> tfds.features.FeaturesDict:
  """TFDS features: `examples.FEATURES` and the given ones of `examples.OPTIONAL`, nested by the slashes of their names.

  Images stay encoded.
  """
  nested = {}
  for name, (kind, shape) in {**examples.FEATURES, **{name: examples.OPTIONAL[name] for name in optional}}.items():
    *parents, leaf = name.split('/')
    place = nested
    for parent in parents:
      place = place.setdefault(parent, {})
    place[leaf] = tfds.features.Tensor(shape=shape, dtype=DTYPES[kind])
  return tfds.features.FeaturesDict(nested)


def common_features(folder: str) -> list[str]:
  """Names of `examples.OPTIONAL` that the records of all complete splits in a folder have."""
  found = [set(records.load_manifest(folder, split).get('features', ())) for split in records.splits(folder)]
  return sorted(set.intersection(*found)) if found else []


def splits(folder: str) -> list[tfds.core.SplitInfo]:
  """TFDS's description of the complete splits in a folder of records."""
  found = []
  for split in records.splits(folder):
    num_images = records.load_manifest(folder, split)['num_images']
    paths = records.shard_paths(folder, split, num_images)
    full, rest = divmod(num_images, records.IMAGES_PER_SHARD)
    template = tfds.core.ShardedFileTemplate(
      data_dir=folder, dataset_name=records.NAME, split=split, filetype_suffix='array_record'
    )
    found.append(
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[records.IMAGES_PER_SHARD] * full + [rest] * (rest > 0),
        num_bytes=sum(os.path.getsize(path) for path in paths),
        filename_template=template,
      )
    )
  return found


def write(folder: str) -> None:
  """Writes `dataset_info.json` and `features.json` for the complete splits in `folder`."""
  identity = tfds.core.dataset_info.DatasetIdentity(
    name=records.NAME, version=tfds.core.Version(VERSION), data_dir=folder, module_name=''
  )
  info = tfds.core.DatasetInfo(builder=identity, description=DESCRIPTION, features=features(common_features(folder)))
  info.set_file_format('array_record')
  info.set_splits(tfds.core.splits.SplitDict(splits(folder)))
  info.write_to_directory(folder)
