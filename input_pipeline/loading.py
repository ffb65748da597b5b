"""Loads one image of a batch: reads, decodes, places it on the canvas."""

import collections
import threading
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import photometric, transforms
from input_pipeline.copy_paste import CopyPaste
from input_pipeline.examples import decode_example, parse
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.scene import Scene
from input_pipeline.fields.table import Fields
from input_pipeline.records import Records
from input_pipeline.resize import Size
from input_pipeline.sampling import COLOURS, IMAGES, BatchSampler, Plan, random_stream
from input_pipeline.transforms import Placement
from jaxdet.configuration import detection_canvases


class Counters:
  """Thread-safe counts by name."""

  def __init__(self):
    self._counts = collections.Counter()
    self._lock = threading.Lock()

  def add(self, counts: Mapping[str, int]) -> None:
    with self._lock:
      for name, count in counts.items():
        self._counts[name] += count

  def read(self) -> dict[str, int]:
    """Counts so far, zeros included."""
    with self._lock:
      return dict(self._counts)


class TrainingImages:
  """Loads one process's part of the training batches."""

  def __init__(
    self,
    records: Records,
    sampler: BatchSampler,
    fields: Fields,
    copy_paste: CopyPaste | None,
    data: ConfigDict,
    seed: int,
    rows: range,
    counters: Counters,
  ):
    """`rows` are the rows of each global batch that this process loads."""
    self._records, self._sampler, self._fields, self._copy_paste = records, sampler, fields, copy_paste
    self._data, self._seed, self._rows, self._counters = data, seed, rows, counters

  def allocate(self, step: int) -> Columns:
    canvas, _ = self._sampler.batch(step)
    return empty_columns(len(self._rows), self._data.canvases[canvas], self._fields)

  def fill(self, step: int, row: int, columns: Columns) -> None:
    """Writes image `row` of this process's part."""
    canvas, images = self._sampler.batch(step)
    index = int(images[self._rows[row]])
    number = step * len(images) + self._rows[row]
    data = self._data
    example = parse(self._records.read([index])[0])
    stream = random_stream(self._seed, IMAGES, number)
    placement = transforms.placement_on(canvas, example.size, data, stream, example.objects.boxes)
    image, colours = decode_example(example), random_stream(self._seed, COLOURS, number)
    if data.photometric.distort and data.photometric.of_file:
      pixels = np.array(image)
      photometric.distort(pixels, data.photometric, colours)
      image = Image.fromarray(pixels)
    write_image(columns, row, image, placement, index)
    height, width = placement.size
    pixels = columns['image'][row, :height, :width]
    if data.photometric.distort and not data.photometric.of_file:
      photometric.distort(pixels, data.photometric, colours)
    scene = Scene(example.objects, example.image, placement)
    objects = self._fields.place(scene)
    if self._copy_paste:
      objects = self._copy_paste(pixels, objects, canvas, number)
    self._fields.write(scene, objects, columns, row)
    self._counters.add({'images_shrunk_to_canvas': int(placement.shrunk), **objects.left_out})


class EvaluationImages:
  """Loads one process's part of a plan's batches, without objects: ground truth is read from the annotation file."""

  def __init__(self, records: Records, plan: Plan, fields: Fields, data: ConfigDict, rows: range, counters: Counters):
    """`rows` are the rows of each global batch that this process loads."""
    self._records, self._plan, self._fields, self._data = records, plan, fields, data
    self._rows, self._counters = rows, counters

  def allocate(self, step: int) -> Columns:
    canvas, _ = self._plan[step]
    return empty_columns(len(self._rows), detection_canvases(self._data)[canvas], self._fields)

  def fill(self, step: int, row: int, columns: Columns) -> None:
    """Writes image `row` of this process's part, if there is one."""
    _, images = self._plan[step]
    index = int(images[self._rows[row]])
    if index < 0:
      return
    example = parse(self._records.read([index])[0])
    canvas = columns['image'].shape[1:3]
    placement = transforms.evaluation_placement(example.size, canvas, self._data.resize)
    write_image(columns, row, decode_example(example), placement, index)
    self._counters.add({'images_shrunk_to_canvas': int(placement.shrunk)})


def empty_columns(images: int, canvas: Size, fields: Fields) -> Columns:
  """Makes a batch of black images that are not valid; sizes are the canvas's, so that no scale is 0 / 0."""
  return {
    'image': np.zeros((images, *canvas, 3), np.uint8),
    'image_size': np.full((images, 2), canvas, np.int32),
    'original_size': np.full((images, 2), canvas, np.int32),
    'index': np.zeros(images, np.int32),
    'valid': np.zeros(images, np.bool_),
    **fields.columns(images, canvas),
  }


def write_image(columns: Columns, row: int, image: Image.Image, placement: Placement, index: int) -> None:
  """Writes an image, its sizes and its index into an empty row of a batch; not its annotations."""
  transforms.place_image(image, placement, columns['image'][row])
  columns['image_size'][row] = placement.size
  columns['original_size'][row] = placement.file_size
  columns['index'][row] = index
  columns['valid'][row] = True
