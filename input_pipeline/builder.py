"""TFDS builder for LVIS, COCO and annotations in their formats.

TFDS's own `lvis` builder stores a full-size PNG per instance and rounds polygons to integers. This one makes the
records of `preparation`, so that TFDS and training read the same files:

  builder = Detection(
    annotations={'train': 'lvis_v1_train.json', 'val': 'lvis_v1_val.json'}, image_root='coco', data_dir='tfds')
  builder.download_and_prepare()
  builder.as_data_source('train')

`tfds.builder_from_directory` reads a folder of `preparation.prepare` without this class. Nothing else of jaxdet imports
TFDS.
"""

import os
from collections.abc import Mapping

try:
  import tensorflow_datasets as tfds
except ImportError as error:
  raise ImportError("input_pipeline.builder needs TensorFlow Datasets: pip install 'jaxdet[tfds]'") from error

from input_pipeline import preparation, records, tfds_metadata


class Detection(tfds.core.dataset_builder.FileReaderBuilder, skip_registration=True):
  """Images with boxes, polygons and labels; the features are `examples.FEATURES`."""

  VERSION = tfds.core.Version(tfds_metadata.VERSION)
  url_infos = {}  # nothing is downloaded

  def __init__(self, *, annotations: Mapping[str, str], image_root: str, **kwargs):
    """
    Args:
      annotations: annotation files by split.
      image_root: folder of the images, in any layout of `images.find`.
      **kwargs: of every TFDS builder, such as `data_dir`.
    """
    self._annotations = dict(annotations)
    self._image_root = image_root
    super().__init__(file_format='array_record', **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features.FeaturesDict.from_json(tfds_metadata.features())
    return self.dataset_info_from_configs(
      description=tfds_metadata.DESCRIPTION, features=features, disable_shuffling=True
    )

  def _download_and_prepare(self, dl_manager: tfds.download.DownloadManager, download_config) -> None:
    del dl_manager, download_config  # the files are the user's own
    folder = os.fspath(self.data_dir)
    for split, path in self._annotations.items():
      preparation.prepare(path, self._image_root, folder, split)
    self.info.set_splits(tfds.core.splits.SplitDict([_split_info(folder, s) for s in tfds_metadata.splits(folder)]))


def _split_info(folder: str, split: tfds_metadata.Split) -> tfds.core.SplitInfo:
  template = tfds.core.ShardedFileTemplate(
    data_dir=folder, dataset_name=records.NAME, split=split.name, filetype_suffix='array_record'
  )
  return tfds.core.SplitInfo(
    name=split.name, num_bytes=split.num_bytes, shard_lengths=split.shard_lengths, filename_template=template
  )
