"""Batches of a user's own image files for prediction, prepared as for evaluation."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import ExifTags, Image

from input_pipeline import sampling, transforms
from input_pipeline.decoding import decode
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.table import evaluation_fields
from input_pipeline.loading import empty_columns, write_image
from input_pipeline.pipeline import batches
from jaxdet.configuration import detection_canvases
from jaxdet.structures import Batch

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.gif', '.tif', '.tiff')


def list_images(paths: Sequence[str]) -> tuple[str, ...]:
  """Lists the image files of paths: files, folders (recursively) and .txt lists (one path per line).

  Files of a folder come in alphabetical order; relative paths of a list are relative to the list's folder.

  Raises:
    FileNotFoundError: a path does not exist, or there are no images; the message names it.
  """
  files = []
  for path in paths:
    if os.path.isdir(path):
      found = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
      files += sorted(file for file in found if file.lower().endswith(SUFFIXES))
    elif path.endswith('.txt'):
      with open(path) as f:
        files += [os.path.join(os.path.dirname(path), line.strip()) for line in f if line.strip()]
    else:
      files.append(path)
  missing = [file for file in files if not os.path.exists(file)]
  if missing:
    raise FileNotFoundError(f'{len(missing)} images do not exist, the first: {missing[0]}')
  if not files:
    raise FileNotFoundError(f'no images in {", ".join(paths)}')
  return tuple(files)


def image_batches(files: Sequence[str], config: ConfigDict) -> Iterator[Batch]:
  """Yields batches of config.eval.batch_size images, each on the canvas of their orientation.

  Wide images come first, then the others, each in order; `Batch.index` points into `files`. Files that cannot be read
  are logged and are not valid in their batch.

  Args:
    files: from `list_images`.
    config: reads the canvases of config.data, config.data.resize and config.eval.batch_size.
  """
  images = _Images(files, config)
  return batches(images.allocate, images.fill, range(len(images.plan)))


class _Images:
  def __init__(self, files: Sequence[str], config: ConfigDict):
    self._files, self._data, self._batch_size = files, config.data, config.eval.batch_size
    sizes = np.array([_turned_size(file) for file in files])
    kinds = sampling.orientations(sizes, len(detection_canvases(config.data)))
    self._fields = evaluation_fields(config.data)
    self.plan = sampling.evaluation_plan(kinds, self._batch_size)

  def allocate(self, step: int) -> Columns:
    canvas, _ = self.plan[step]
    return empty_columns(self._batch_size, detection_canvases(self._data)[canvas], self._fields)

  def fill(self, step: int, row: int, columns: Columns) -> None:
    index = int(self.plan[step][1][row])
    if index < 0:
      return
    try:
      with open(self._files[index], 'rb') as f:
        image = decode(f.read(), self._files[index])
    except (OSError, ValueError) as error:
      logging.error('Skipping %s: %s', self._files[index], error)
      return
    canvas = columns['image'].shape[1:3]
    placement = transforms.evaluation_placement((image.height, image.width), canvas, self._data.resize)
    write_image(columns, row, image, placement, index)


def _turned_size(file: str) -> tuple[int, int]:
  """(height, width) after the rotation of its EXIF data; (1, 1) if it cannot be read, which `fill` logs later."""
  try:
    with Image.open(file) as image:
      turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
      return (image.width, image.height) if turned else (image.height, image.width)
  except (OSError, SyntaxError, Image.DecompressionBombError):
    return 1, 1
