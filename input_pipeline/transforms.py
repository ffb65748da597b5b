"""From a file's pixels and objects to the canvas: resize, crop, flip, clip.

All of it is one affine map per image, a `Placement`, drawn from a random stream that belongs to the image's
place in training; image, boxes, polygons and run-length masks all follow that one map.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import center_crop, random_crop, rasterize, ssd_augmentation
from input_pipeline.polygons import Polygons
from input_pipeline.random_crop import Crop
from input_pipeline.resize import Size, inside_size, random_offset, resize, shortest_edge_size
from jaxdet.annotations.objects import Objects

RESIZES = ('shortest_edge', 'large_scale_jitter', 'stretch', 'center_crop')
NO_BOXES = np.zeros((0, 4), np.float32)
MIN_BOX_SIDE = 1e-5  # pixels; objects with less left are dropped, as in Detectron2


@dataclasses.dataclass(frozen=True)
class Placement:
  """How a file lies on the canvas: resized, then cropped, then flipped, at the canvas's top left."""

  file_size: Size
  resized_size: Size
  crop_offset: Size  # (y, x) in the resized image
  size: Size  # on the canvas
  flipped: bool = False
  tight_boxes: bool = False  # boxes are drawn anew around the polygons, since crops cut objects
  shrunk: bool = False  # made smaller than the recipe says, since it would not fit the canvas
  crop: Crop | None = None  # a part of the file that is taken first, and is what `resized_size` is the new size of

  @property
  def scale(self) -> Float[np.ndarray, '2']:
    """(x, y) factors: canvas = file * scale + offset."""
    y, x = np.divide(self.resized_size, self._taken_size)
    if self.crop:
      y, x = np.divide(self.crop.resized_size, self.file_size) * (y, x)
    return np.array([-x if self.flipped else x, y])

  @property
  def offset(self) -> Float[np.ndarray, '2']:
    """(x, y) in canvas pixels."""
    y, x = self.crop_offset
    if self.crop:
      y, x = np.divide(self.resized_size, self._taken_size) * self.crop.offset + (y, x)
    return np.array([self.size[1] + x if self.flipped else -x, -y], np.float64)

  @property
  def _taken_size(self) -> Size:
    """Of what is resized: the part of the file, or the file."""
    return self.crop.size if self.crop else self.file_size


def training_placement(
  file_size: Size,
  canvas: Size,
  recipe: ConfigDict,
  flip: float,
  stream: np.random.Generator,
  tall: bool | None = None,
  boxes: Float32[np.ndarray, 'N 4'] = NO_BOXES,
) -> Placement:
  """A random placement after `recipe`, the configuration's data.resize.

  'shortest_edge': the shorter side has one of `sizes`, the longer at most `max_size`; with `crop` of the file, or of a
  random part of it (random_crop.py). 'large_scale_jitter': the image fits into the canvas times a factor from `jitter`,
  then a random part of the canvas's size is cut out (Detectron2's new baselines: ResizeScale, FixedSizeCrop).
  'stretch': the file, or with `window` a random window on it (ssd_augmentation.py), fills the canvas, whatever its
  shape. 'center_crop': a random square (center_crop.py) fills the canvas.

  Args:
    flip: probability of a horizontal flip.
    tall: the orientation of what `crop` leaves, where canvases go by that; None: either.
    boxes: of all objects in the file, on which windows depend.
  """
  if recipe.name == 'shortest_edge':
    crop = random_crop.draw(file_size, recipe, tall, stream) if recipe.crop.probability else None
    shortest = int(stream.choice(recipe.sizes))
    placement = _whole(crop.size if crop else file_size, canvas, shortest, recipe.max_size)
    placement = dataclasses.replace(placement, file_size=file_size, crop=crop)
  elif recipe.name == 'large_scale_jitter':
    resized = inside_size(file_size, canvas, stream.uniform(*recipe.jitter))
    size = (min(resized[0], canvas[0]), min(resized[1], canvas[1]))
    offset = random_offset(resized, size, stream.random())
    placement = Placement(file_size, resized, offset, size, tight_boxes=True)
  elif recipe.name == 'stretch':
    window = ssd_augmentation.draw(file_size, boxes, recipe.window, stream)
    placement = _stretched(file_size, canvas, window)
  elif recipe.name == 'center_crop':
    placement = _stretched(file_size, canvas, center_crop.draw(file_size, canvas, boxes, recipe.center_crop, stream))
  else:
    raise ValueError(f"unknown data.resize.name '{recipe.name}': choose one of {', '.join(RESIZES)}")
  return dataclasses.replace(placement, flipped=bool(stream.random() < flip))


def evaluation_placement(file_size: Size, canvas: Size, recipe: ConfigDict) -> Placement:
  """The whole image without chance: with `test_size` and `max_size`, stretched, or as large as the file."""
  if recipe.name == 'stretch':
    return _stretched(file_size, canvas)
  if recipe.name == 'center_crop':
    return _whole(file_size, canvas, min(file_size), max(file_size))
  return _whole(file_size, canvas, recipe.test_size, recipe.max_size)


def part(placement: Placement, offset: Size, size: Size) -> Placement:
  """The part of size `size` that begins at `offset` (y, x) of the placement's own canvas."""
  y, x = offset
  if placement.flipped:
    x = placement.size[1] - x - size[1]
  offset = (placement.crop_offset[0] + y, placement.crop_offset[1] + x)
  return dataclasses.replace(placement, crop_offset=offset, size=size)


def cut(placement: Placement, size: Size, stream: np.random.Generator) -> Placement:
  """A random part of the placement that is nowhere larger than `size`; it cuts objects where it is smaller."""
  smaller = (min(placement.size[0], size[0]), min(placement.size[1], size[1]))
  if smaller == placement.size:
    return placement
  offset = random_offset(placement.size, smaller, stream.random())
  return dataclasses.replace(part(placement, offset, smaller), tight_boxes=True)


def place_image(image: Image.Image, placement: Placement, canvas: UInt8[np.ndarray, 'H W 3']) -> None:
  """Writes the RGB image into the top left of the canvas."""
  if crop := placement.crop:
    image = random_crop.take(image, crop)
  part = resize(image, placement.resized_size, placement.crop_offset, placement.size)
  if placement.flipped:
    part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  canvas[: placement.size[0], : placement.size[1]] = np.asarray(part)


@dataclasses.dataclass(frozen=True)
class PlacedObjects:
  """N objects on the canvas, with fields of `structures.Batch`, and how many were left out."""

  boxes: Float32[np.ndarray, 'N 4']
  labels: Int32[np.ndarray, 'N']
  mask_bits: UInt8[np.ndarray, 'N M M/8']
  mask_windows: Float32[np.ndarray, 'N 4']
  polygons: Polygons  # none of objects that are known by their bits alone
  without_mask: int
  beyond_max: int

  def take(self, rows: Int[np.ndarray, 'n']) -> 'PlacedObjects':
    """The objects of these rows, which ascend."""
    return dataclasses.replace(
      self,
      boxes=self.boxes[rows],
      labels=self.labels[rows],
      mask_bits=self.mask_bits[rows],
      mask_windows=self.mask_windows[rows],
      polygons=self.polygons.take(np.isin(np.arange(len(self.labels)), rows)),
    )


def leave_out(objects: Objects, ignore: ConfigDict) -> Objects:
  """The objects with those that `ignore`, the configuration's data.ignore, is about made crowds, which training leaves
  out.
  """
  ignored = (objects.boxes[:, 2:] - objects.boxes[:, :2] < ignore.min_side).any(axis=1)
  if ignore.marked:
    ignored |= objects.ignored == 1
  return dataclasses.replace(objects, crowds=np.where(ignored, 1, objects.crowds))


def place_objects(objects: Objects, placement: Placement, max_objects: int, mask_size: int) -> PlacedObjects:
  """The objects that training uses, in the order of the annotation file.

  Left out are crowds, objects outside the crop, and with masks those that have none (as in Detectron2), then
  those beyond `max_objects`. Boxes are clipped to the image.

  Args:
    mask_size: M, cells along a mask's side; 0: without masks, boxes alone.
  """
  height, width = placement.size
  polygons = Polygons.from_flat(objects.polygon_points, objects.polygon_lengths, objects.polygons_per_object)
  polygons = polygons.move(placement.scale, placement.offset)
  boxes = place_boxes(objects.boxes, placement)
  has_polygons = objects.polygons_per_object > 0
  seen = np.ones(len(boxes), np.bool_)
  if placement.tight_boxes or placement.crop and mask_size:
    polygons = polygons.clip(height, width)
    seen = ~has_polygons | (polygons.counts(len(boxes)) > 0)
    if placement.tight_boxes:
      boxes = np.where(has_polygons[:, None], polygons.boxes(len(boxes)), boxes)

  if placement.crop and placement.crop.by_middle:
    (y, x), (height_taken, width_taken) = placement.crop.offset, placement.crop.size
    taken = np.array([[x, y, x + width_taken, y + height_taken]])
    seen &= ssd_augmentation.has_middle(objects.boxes, taken)[0]
  keep = (objects.crowds == 0) & seen & (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(axis=1)
  without_mask = 0
  if mask_size:
    has_mask = has_polygons | np.array([bool(runs) for runs in objects.rle], np.bool_)
    without_mask = int((keep & ~has_mask).sum())
    keep &= has_mask
  kept = np.flatnonzero(keep)
  beyond_max = max(len(kept) - max_objects, 0)
  kept = kept[:max_objects]
  keep = np.isin(np.arange(len(keep)), kept)

  polygons = polygons.take(keep)
  windows = rasterize.mask_windows(boxes[kept], mask_size)
  bits = rasterize.rasterize_polygons(polygons, windows, mask_size)
  runs = [row for row, index in enumerate(kept) if mask_size and not has_polygons[index]]
  if runs:
    counts = [objects.rle[index] for index in kept[runs]]
    bits[runs] = rasterize.resample_runs(
      counts, placement.file_size, placement.scale, placement.offset, windows[runs], mask_size
    )
  bits = rasterize.clear_outside(bits, windows, height, width)
  return PlacedObjects(
    boxes=boxes[kept].astype(np.float32),
    labels=objects.labels[kept].astype(np.int32),
    mask_bits=rasterize.pack(bits),
    mask_windows=windows,
    polygons=polygons,
    without_mask=without_mask,
    beyond_max=beyond_max,
  )


def place_boxes(boxes: Float32[np.ndarray, 'N 4'], placement: Placement) -> Float[np.ndarray, 'N 4']:
  """xyxy boxes of the file in float64 canvas pixels, clipped to the image."""
  corners = boxes.astype(np.float64).reshape(-1, 2, 2) * placement.scale + placement.offset
  corners = np.sort(corners, axis=1)  # a flip swaps left and right
  height, width = placement.size
  return corners.clip(0, (width, height)).reshape(-1, 4)


def _stretched(file_size: Size, canvas: Size, crop: Crop | None = None) -> Placement:
  return Placement(file_size, canvas, (0, 0), canvas, crop=crop)


def _whole(file_size: Size, canvas: Size, shortest: int, longest: int) -> Placement:
  size = shortest_edge_size(file_size, shortest, longest)
  shrunk = size[0] > canvas[0] or size[1] > canvas[1]
  if shrunk:
    size = inside_size(file_size, canvas)
  return Placement(file_size, size, (0, 0), size, shrunk=shrunk)
