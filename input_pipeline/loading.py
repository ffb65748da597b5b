"""One image of a batch from its number: read, decode, place on the canvas."""

import collections
import threading

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import photometric, transforms
from input_pipeline.copy_paste import CopyPaste
from input_pipeline.decoding import decode_example
from input_pipeline.examples import parse
from input_pipeline.pipeline import Fields
from input_pipeline.records import Records
from input_pipeline.resize import Size
from input_pipeline.sampling import COLOURS, IMAGES, BatchSampler, Plan, random_stream
from input_pipeline.transforms import PlacedObjects, Placement
from jaxdet.configuration import detection_canvases


class Counters:
  """Counts by name, from several threads."""

  def __init__(self):
    self._counts = collections.Counter()
    self._lock = threading.Lock()

  def add(self, **counts: int) -> None:
    with self._lock:
      for name, count in counts.items():
        self._counts[name] += count

  def read(self) -> dict[str, int]:
    """The counts so far, also those of zero."""
    with self._lock:
      return dict(self._counts)


class TrainingImages:
  """One process's part of the training batches."""

  def __init__(
    self,
    records: Records,
    sampler: BatchSampler,
    copy_paste: CopyPaste | None,
    data: ConfigDict,
    seed: int,
    rows: range,
    counters: Counters,
  ):
    """`rows`: those of each global batch that this process loads."""
    self._records, self._sampler, self._copy_paste = records, sampler, copy_paste
    self._data, self._seed, self._rows, self._counters = data, seed, rows, counters

  def allocate(self, step: int) -> Fields:
    canvas, _ = self._sampler.batch(step)
    data = self._data
    fields = empty_fields(len(self._rows), data.canvases[canvas], data.max_objects, data.mask_size)
    return fields | empty_outlines(len(self._rows), data.max_objects, data.max_vertices)

  def fill(self, step: int, row: int, fields: Fields) -> None:
    """Writes image `row` of this process's part."""
    canvas, images = self._sampler.batch(step)
    index = int(images[self._rows[row]])
    number = step * len(images) + self._rows[row]
    data = self._data
    example = parse(self._records.read([index])[0])
    stream = random_stream(self._seed, IMAGES, number)
    size = (example.height, example.width)
    tall = bool(canvas) if len(data.canvases) == 2 else None
    placement = transforms.training_placement(
      size, data.canvases[canvas], data.resize, data.flip, stream, tall, example.objects.boxes
    )
    image, colours = decode_example(example), random_stream(self._seed, COLOURS, number)
    if data.photometric.distort and data.photometric.of_file:
      pixels = np.array(image)
      photometric.distort(pixels, data.photometric, colours)
      image = Image.fromarray(pixels)
    write_image(fields, row, image, placement, index)
    height, width = placement.size
    if data.photometric.distort and not data.photometric.of_file:
      photometric.distort(fields['image'][row, :height, :width], data.photometric, colours)
    objects = transforms.leave_out(example.objects, data.ignore)
    objects = transforms.place_objects(objects, placement, data.max_objects, data.mask_size)
    if self._copy_paste:
      objects = self._copy_paste(fields['image'][row, :height, :width], objects, canvas, number)
    write_objects(fields, row, objects)
    self._counters.add(
      images_shrunk_to_canvas=int(placement.shrunk),
      objects_beyond_max_objects=objects.beyond_max,
      objects_without_mask=objects.without_mask,
    )


class EvaluationImages:
  """One process's part of the batches of a plan, without objects: the annotation file says what is true."""

  def __init__(self, records: Records, plan: Plan, data: ConfigDict, rows: range, counters: Counters):
    """`rows`: those of each global batch that this process loads."""
    self._records, self._plan, self._data = records, plan, data
    self._rows, self._counters = rows, counters

  def allocate(self, step: int) -> Fields:
    canvas, _ = self._plan[step]
    return empty_fields(len(self._rows), detection_canvases(self._data)[canvas], 0, self._data.mask_size)

  def fill(self, step: int, row: int, fields: Fields) -> None:
    """Writes image `row` of this process's part, if there is one."""
    _, images = self._plan[step]
    index = int(images[self._rows[row]])
    if index < 0:
      return
    example = parse(self._records.read([index])[0])
    canvas = fields['image'].shape[1:3]
    placement = transforms.evaluation_placement((example.height, example.width), canvas, self._data.resize)
    write_image(fields, row, decode_example(example), placement, index)
    self._counters.add(images_shrunk_to_canvas=int(placement.shrunk))


def empty_fields(batch_size: int, canvas: Size, max_objects: int, mask_size: int) -> Fields:
  """A batch of black images that are not valid; of the canvas's size, so that no scale is 0 / 0."""
  rows = (batch_size, max_objects)
  fields = {
    'image': np.zeros((batch_size, *canvas, 3), np.uint8),
    'image_size': np.full((batch_size, 2), canvas, np.int32),
    'original_size': np.full((batch_size, 2), canvas, np.int32),
    'index': np.zeros(batch_size, np.int32),
    'valid': np.zeros(batch_size, np.bool_),
    'objects/boxes': np.zeros((*rows, 4), np.float32),
    'objects/labels': np.zeros(rows, np.int32),
    'objects/valid': np.zeros(rows, np.bool_),
  }
  if mask_size:
    fields['masks/bits'] = np.zeros((*rows, mask_size, mask_size // 8), np.uint8)
    fields['masks/windows'] = np.zeros((*rows, 4), np.float32)
  return fields


def empty_outlines(batch_size: int, max_objects: int, max_vertices: int) -> Fields:
  """Outlines of no object; no fields where there are to be none."""
  if not max_vertices:
    return {}
  rows = (batch_size, max_objects, max_vertices)
  return {'masks/outlines': np.zeros((*rows, 2), np.float32), 'masks/outline_parts': np.full(rows, -1, np.int8)}


def write_image(fields: Fields, row: int, image: Image.Image, placement: Placement, index: int) -> None:
  """Puts an image, and all but its objects, into a batch's row that is still empty."""
  transforms.place_image(image, placement, fields['image'][row])
  fields['image_size'][row] = placement.size
  fields['original_size'][row] = placement.file_size
  fields['index'][row] = index
  fields['valid'][row] = True


def write_objects(fields: Fields, row: int, objects: PlacedObjects) -> None:
  """Puts objects into a batch's row that is still empty."""
  count = len(objects.labels)
  fields['objects/boxes'][row, :count] = objects.boxes
  fields['objects/labels'][row, :count] = objects.labels
  fields['objects/valid'][row, :count] = True
  if 'masks/bits' in fields:
    fields['masks/bits'][row, :count] = objects.mask_bits
    fields['masks/windows'][row, :count] = objects.mask_windows
  if 'masks/outlines' in fields:
    outlines, parts = objects.polygons.outlines(count, fields['masks/outlines'].shape[2])
    fields['masks/outlines'][row, :count], fields['masks/outline_parts'][row, :count] = outlines, parts
