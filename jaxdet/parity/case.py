"""Loads recorded runs of other programs: their inputs and recorded tensors.

Golden files have no weights. A module beside them, recipe.py, makes every array of the checkpoint from its upstream
name and shape, and also the images and their objects.
"""

import dataclasses
import fnmatch
import functools
import importlib.util
import json
import pathlib
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, Int

from input_pipeline.polygons import Polygons
from input_pipeline.rasterize import mask_windows, pack, rasterize_polygons
from jaxdet.structures import Batch, InstanceMasks, Objects, Proposals

PROGRAMS = ('mmdet', 'detectron2', 'detic', 'disalign')  # folders of a kit
MASK_SIZE = 128  # cells of a mask crop: no recorded object is larger, so that a cell is a pixel
VERTICES = 17  # of an object's polygon, with the first one repeated at the end


@dataclasses.dataclass(frozen=True)
class Case:
  """A recorded run; the notes beside the golden files describe its arrays and `meta`."""

  name: str  # 'mmdet/mask_rcnn_r50_fpn'
  meta: dict
  arrays: dict[str, np.ndarray]
  recipe: ModuleType

  @property
  def program(self) -> str:
    return self.name.partition('/')[0]

  @property
  def bgr(self) -> bool:
    return self.meta['channel_order'] == 'BGR'

  @property
  def pixel_mean(self) -> tuple[float, ...]:
    """Pixel mean in RGB, as in jaxdet's configs."""
    return tuple(self.meta['image_mean'][:: -1 if self.bgr else 1])

  @property
  def pixel_std(self) -> tuple[float, ...]:
    return tuple(self.meta['image_std'][:: -1 if self.bgr else 1])

  @functools.cached_property
  def tensors(self) -> dict[str, dict]:
    """Recorded tensors by name: shape, mean and RMS; samples of them are in `arrays`."""
    return {tensor['name']: tensor for tensor in self.meta['tensors']}

  def samples(self, tensor: str, value: np.ndarray) -> np.ndarray:
    """Values of a tensor in upstream's layout, at the positions sampled in the golden file."""
    flat = np.asarray(value).reshape(-1)
    return flat[self.recipe.sample_indices(flat.size)]


def case_names(kit: pathlib.Path, pattern: str = '*') -> list[str]:
  """Names of a kit's cases that match `pattern` ('mmdet/*c4*', or '*c4*' of every program)."""
  names = [f'{program}/{file.stem}' for program in PROGRAMS for file in sorted((kit / program).glob('*.npz'))]
  return [name for name in names if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.partition('/')[2], pattern)]


def load_case(kit: pathlib.Path, name: str) -> Case:
  """Loads a case of the kit by name."""
  arrays = dict(np.load(kit / f'{name}.npz'))
  meta = json.loads(str(arrays.pop('meta')))
  return Case(name, meta, arrays, _load_recipe(kit))


def state(case: Case) -> dict[str, np.ndarray]:
  """Makes the checkpoint by upstream's names, without constant arrays ('constant')."""
  arrays, later = {}, []
  for name, shape, kind in case.meta['params']:
    if kind == 'filled':
      arrays[name] = case.recipe.fill(case.meta.get('fill_prefix', '') + name, shape)
    elif name.endswith('.cum_samples'):
      arrays[name] = np.zeros(shape, np.float32)  # the seesaw loss has seen no object yet
    elif kind != 'constant':
      later.append((name, kind))
  for name, (scale, shift) in case.meta.get('tweaks', {}).items():
    arrays[name] = arrays[name] * np.float32(scale) + np.float32(shift)
  for name, kind in later:
    arrays[name] = _derived(name, arrays) if kind == 'derived' else arrays[_alias(case, name, kind)]
  return arrays


def batch(case: Case, outlines: bool = False) -> Batch:
  """Makes the batch of images and objects, with masks at one bit per pixel, or polygons if `outlines`."""
  count, _, height, width = case.meta['batch_shape']
  truths = [case.recipe.ground_truth(i, _label_count(case)) for i in range(count)]
  rows = max(len(truth['boxes']) for truth in truths) + 1  # at least one row is padding
  images = np.zeros((count, height, width, 3), np.uint8)
  sizes = np.zeros((count, 2), np.int32)
  boxes, windows = np.zeros((2, count, rows, 4), np.float32)
  labels = np.zeros((count, rows), np.int32)
  valid = np.zeros((count, rows), bool)
  bits = np.zeros((count, rows, MASK_SIZE, MASK_SIZE), bool)
  vertices = np.zeros((count, rows, VERTICES, 2), np.float32)
  parts = np.full((count, rows, VERTICES), -1, np.int8)
  for i, truth in enumerate(truths):
    image = case.recipe.image(i)
    sizes[i] = image.shape[:2]
    images[i, : sizes[i, 0], : sizes[i, 1]] = image
    objects = len(truth['boxes'])
    boxes[i, :objects], labels[i, :objects], valid[i, :objects] = truth['boxes'], truth['labels'], True
    windows[i, :objects] = mask_windows(truth['boxes'], MASK_SIZE)
    polygons = Polygons(
      points=np.concatenate(truth['polygons']),
      lengths=np.array([len(polygon) for polygon in truth['polygons']]),
      owners=np.arange(objects),
    )
    bits[i, :objects] = rasterize_polygons(polygons, windows[i, :objects], MASK_SIZE)
    vertices[i, :objects], parts[i, :objects] = polygons.outlines(objects, VERTICES)
  masks = InstanceMasks(
    bits=pack(bits),
    windows=windows,
    outlines=vertices if outlines else None,
    outline_parts=parts if outlines else None,
  )
  return Batch(
    image=images,
    image_size=sizes,
    original_size=sizes,
    index=np.arange(count, dtype=np.int32),
    valid=np.ones(count, bool),
    objects=Objects(boxes, labels, valid, masks),
    proposals=_given_proposals(case),
    semantic=_semantic_map(case),
  )


def _semantic_map(case: Case) -> Int[np.ndarray, 'B H W'] | None:
  """Detectron2's recordings of a semantic head: patches of 24 x 32 pixels below eight rows that do not count."""
  if 'sem54' not in case.meta.get('gt_options', ()):
    return None
  count, _, *canvas = case.meta['batch_shape']
  y, x = np.indices(canvas)
  classes = np.where(y < 8, -1, (x // 32 + 3 * (y // 24)) % 54).astype(np.int32)
  sizes = [case.recipe.image(i).shape[:2] for i in range(count)]
  return np.stack([np.where((y < height) & (x < width), classes, -1) for height, width in sizes])


def fixed_regions(case: Case) -> tuple[Float[np.ndarray, 'B R 4'], Bool[np.ndarray, 'B R']]:
  """Boxes of the case's `fixed_roi` tensors, padded with zeros, and the mask of valid rows.

  Every image has its ground-truth boxes and then 24 others; valid rows are in the recorded order.
  """
  boxes = []
  for i in range(len(case.recipe.IMAGE_SIZES)):
    objects = case.recipe.ground_truth(i, _label_count(case))['boxes']
    boxes.append(np.concatenate([objects, _random_boxes(case, f'roi{i}', i, 24)]))
  return _stack_rows(boxes)


def _given_proposals(case: Case) -> Proposals | None:
  """Proposals of Fast R-CNN: the fixed RoIs in mmdetection, 200 other boxes in Detectron2; else None."""
  if 'Fast R-CNN' not in case.meta['system'] and set(case.meta.get('train_cfg', {})) != {'rcnn'}:
    return None
  if case.program == 'mmdet':
    boxes, real = fixed_regions(case)
  else:
    boxes, real = _stack_rows(
      [_random_boxes(case, f'proposal{i}', i, 200) for i in range(len(case.recipe.IMAGE_SIZES))]
    )
  return Proposals(boxes, np.zeros(real.shape, np.float32), real)


def _random_boxes(case: Case, name: str, image: int, count: int) -> Float[np.ndarray, 'N 4']:
  """Draws boxes with sides of at least 8 pixels within an image, as a function of `name`."""
  height, width = case.recipe.IMAGE_SIZES[image]
  u = case.recipe.uniform(name, (count, 4))
  x1, y1 = u[:, 0] * 0.7 * width, u[:, 1] * 0.7 * height
  x2, y2 = x1 + 8 + u[:, 2] * (width - x1 - 8), y1 + 8 + u[:, 3] * (height - y1 - 8)
  return np.stack([x1, y1, x2, y2], -1).astype(np.float32)


def _stack_rows(boxes: list[np.ndarray]) -> tuple[Float[np.ndarray, 'B R 4'], Bool[np.ndarray, 'B R']]:
  """Stacks the boxes of every image, padded with zeros to equal length; also the mask of valid rows."""
  rows = max(map(len, boxes))
  padded = np.stack([np.pad(b, ((0, rows - len(b)), (0, 0))) for b in boxes])
  return padded, np.stack([np.arange(rows) < len(b) for b in boxes])


def _label_count(case: Case) -> int:
  """Number of classes from which the objects' labels are drawn."""
  return case.meta.get('gt_num_classes', case.meta['num_classes'])


def _alias(case: Case, name: str, kind: str) -> str:
  """Name under which an array with several names was filled."""
  return kind.partition(':')[2] or case.meta['aliases'][name]


def _derived(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
  """Weight statistics of a standardised convolution, one per output channel."""
  module, _, statistic = name.rpartition('.')
  weight = arrays[f'{module}.weight'].astype(np.float64)
  axes = tuple(range(1, weight.ndim))
  if statistic == 'weight_gamma':
    value = np.sqrt(weight.var(axes, ddof=1, keepdims=True) + 1e-5)
  else:
    value = weight.mean(axes, keepdims=True)
  return value.astype(np.float32)


@functools.cache
def _load_recipe(kit: pathlib.Path) -> ModuleType:
  spec = importlib.util.spec_from_file_location('parity_recipe', kit / 'recipe.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
