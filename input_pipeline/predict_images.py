"""Batches of a user's own image files for prediction, prepared as for evaluation."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import sampling, transforms
from input_pipeline.decoding import decode, upright_size
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.table import evaluation_fields
from input_pipeline.given_images import open_file
from input_pipeline.loading import empty_columns, write_image
from input_pipeline.pipeline import batches
from input_pipeline.resize import Size
from jaxdet.configuration import detection_canvases
from jaxdet.structures import Batch


def image_batches(files: Sequence[str], config: ConfigDict) -> Iterator[Batch]:
  """Yields batches of config.eval.batch_size images, each on the canvas of their orientation.

  Wide images come first, then the others, each in order; `Batch.index` points into `files`. A file that cannot be read
  is named in the log with the reason, and is in no batch, or not valid in it if only its pixels are damaged.

  Args:
    files: paths.
    config: reads the canvases of config.data, config.data.resize and config.eval.batch_size.
  """
  images = _Images(files, config)
  return batches(images.allocate, images.fill, range(len(images.plan)))


def read_image(path: str) -> Image.Image:
  """Reads a file's RGB image, upright, as the detector sees it.

  Raises:
    OSError, ValueError: it cannot be read; the message names it.
  """
  with open_file(path) as file:
    return decode(file.read(), path)


class _Images:
  def __init__(self, files: Sequence[str], config: ConfigDict):
    self._files, self._data, self._batch_size = files, config.data, config.eval.batch_size
    with ThreadPoolExecutor() as pool:  # some formats have their orientation at their end
      sizes = list(pool.map(_size, files))
    readable = np.flatnonzero([size is not None for size in sizes])
    sizes = np.array([sizes[index] for index in readable], np.int64).reshape(-1, 2)
    kinds = sampling.orientations(sizes, len(detection_canvases(config.data)))
    self._fields = evaluation_fields(config.data)
    plan = sampling.evaluation_plan(kinds, self._batch_size)
    self.plan = [(canvas, np.where(rows < 0, -1, readable[rows])) for canvas, rows in plan]

  def allocate(self, step: int) -> Columns:
    canvas, _ = self.plan[step]
    return empty_columns(self._batch_size, detection_canvases(self._data)[canvas], self._fields)

  def fill(self, step: int, row: int, columns: Columns) -> None:
    index = int(self.plan[step][1][row])
    if index < 0:
      return
    try:
      image = read_image(self._files[index])
    except (OSError, ValueError) as error:
      logging.error('%s', error)
      return
    canvas = columns['image'].shape[1:3]
    placement = transforms.evaluation_placement((image.height, image.width), canvas, self._data.resize)
    write_image(columns, row, image, placement, index)


def _size(path: str) -> Size | None:
  """(height, width) of the upright image; None, and a line in the log, if its header cannot be read."""
  try:
    with open_file(path) as file:
      return upright_size(file, path)
  except (OSError, ValueError) as error:
    logging.error('%s', error)
    return None
