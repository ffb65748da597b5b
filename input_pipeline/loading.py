"""One image of a batch from its number: read, decode, place on the canvas."""

import collections
import io
import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from input_pipeline import transforms
from input_pipeline.examples import Example, parse
from input_pipeline.records import Records
from input_pipeline.resize import Size
from input_pipeline.sampling import IMAGES, BatchSampler, random_stream
from input_pipeline.transforms import Placement

Fields = dict[str, np.ndarray]  # of one image, by their names in structures.Batch
Plan = Sequence[tuple[int, Int[np.ndarray, 'B']]]  # of each batch its canvas and its images; -1: none


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
  """The images of one process's part of the training batches, by their number in its stream from step 0 on."""

  def __init__(
    self,
    records: Records,
    sampler: BatchSampler,
    data: ConfigDict,
    seed: int,
    part: slice,
    counters: Counters,
  ):
    """`part`: the rows of each global batch that this process loads."""
    self._records, self._sampler, self._data, self._seed = records, sampler, data, seed
    self._part, self._counters = part, counters

  def __call__(self, number: int) -> Fields:
    step, place = divmod(number, self._part.stop - self._part.start)
    row = self._part.start + place
    canvas_number, images = self._sampler.batch(step)
    canvas = tuple(self._data.canvases[canvas_number])
    index = int(images[row])
    example = parse(self._records.read([index])[0])
    stream = random_stream(self._seed, IMAGES, step * len(images) + row)
    placement = transforms.training_placement(
      (example.height, example.width), canvas, self._data.resize, self._data.flip, stream
    )
    objects = transforms.place_objects(example.objects, placement, self._data.max_objects, self._data.mask_size)
    self._counters.add(
      images_shrunk_to_canvas=int(placement.shrunk),
      objects_beyond_max_objects=objects.beyond_max,
      objects_without_mask=objects.without_mask,
    )
    return image_fields(decode_example(example), placement, canvas, index) | {
      'boxes': objects.boxes,
      'labels': objects.labels,
      'objects_valid': objects.objects_valid,
      'mask_bits': objects.mask_bits,
      'mask_windows': objects.mask_windows,
    }


class EvaluationImages:
  """The images of one process's part of the batches of a plan, without objects."""

  def __init__(self, records: Records, plan: Plan, data: ConfigDict, part: slice, counters: Counters):
    """`part`: the rows of each global batch that this process loads."""
    self._records, self._plan, self._data = records, plan, data
    self._part, self._counters = part, counters

  def __call__(self, number: int) -> Fields:
    batch, place = divmod(number, self._part.stop - self._part.start)
    canvas_number, images = self._plan[batch]
    canvas = tuple(self._data.canvases[canvas_number])
    index = int(images[self._part.start + place])
    if index < 0:
      return no_image_fields(canvas, self._data.mask_size)
    example = parse(self._records.read([index])[0])
    placement = transforms.evaluation_placement((example.height, example.width), canvas, self._data.resize)
    self._counters.add(images_shrunk_to_canvas=int(placement.shrunk))
    return image_fields(decode_example(example), placement, canvas, index) | no_objects(self._data.mask_size)


def evaluation_plan(canvas_of_image: Int[np.ndarray, 'images'], batch_size: int) -> Plan:
  """Each image once: canvas after canvas, on each in order, its last batch filled up with -1."""
  plan = []
  for canvas in range(int(canvas_of_image.max(initial=-1)) + 1):
    images = np.flatnonzero(canvas_of_image == canvas)
    images = np.pad(images, (0, -len(images) % batch_size), constant_values=-1)
    plan.extend((canvas, batch) for batch in images.reshape(-1, batch_size))
  return plan


def decode_example(example: Example) -> Image.Image:
  """The RGB image of a record.

  Raises:
    ValueError: it is broken, or not as large as the annotation file says.
  """
  image = decode(example.encoded, f"'{example.file_name}' (id {example.image_id})")
  if (image.height, image.width) != (example.height, example.width):
    raise ValueError(
      f"image '{example.file_name}' (id {example.image_id}) has {image.height} x {image.width} pixels, "
      f'the annotation file says {example.height} x {example.width}'
    )
  return image


def decode(encoded: bytes, name: str) -> Image.Image:
  """The RGB image of a file's bytes, JPEG, PNG or whatever Pillow reads, turned as its EXIF data says.

  The decoder and the conversions (grey, CMYK, palette) are those of Detectron2.

  Raises:
    ValueError: the bytes are no image, or cut off; `name` says which.
  """
  try:
    image = Image.open(io.BytesIO(encoded))
    image.load()
    return ImageOps.exif_transpose(image).convert('RGB')
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    raise ValueError(f'cannot decode image {name}: {error}') from error


def image_fields(image: Image.Image, placement: Placement, canvas: Size, index: int) -> Fields:
  return {
    'image': transforms.place_image(image, placement, canvas),
    'image_size': np.array(placement.size, np.int32),
    'original_size': np.array(placement.file_size, np.int32),
    'index': np.int32(index),
    'valid': np.True_,
  }


def no_image_fields(canvas: Size, mask_size: int) -> Fields:
  """What fills up a batch: black, and of the canvas's size so that no scale is 0 / 0."""
  return {
    'image': np.zeros((*canvas, 3), np.uint8),
    'image_size': np.array(canvas, np.int32),
    'original_size': np.array(canvas, np.int32),
    'index': np.int32(0),
    'valid': np.False_,
  } | no_objects(mask_size)


def no_objects(mask_size: int) -> Fields:
  """Room for no object: at evaluation the annotation file says what is true."""
  return {
    'boxes': np.zeros((0, 4), np.float32),
    'labels': np.zeros(0, np.int32),
    'objects_valid': np.zeros(0, np.bool_),
    'mask_bits': np.zeros((0, mask_size, mask_size // 8), np.uint8),
    'mask_windows': np.zeros((0, 4), np.float32),
  }
