"""Generates a data set in LVIS v1's format: textured shapes on photograph-like backgrounds, with a long tail.

It replaces LVIS in tests and first runs, without a download. A category is an outline, a hue and a texture, all three
different from its neighbours', so that a small network can learn it in minutes. Categories appear in a third of the
images down to a few, and are grouped by LVIS's rule: rare in at most 10 training images, common in at most 100,
frequent in more.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Mapping

import numpy as np

from input_pipeline import shape_drawing
from input_pipeline.lock import locked
from input_pipeline.shape_drawing import Look

VERSION = 1  # of the pictures generated from the same settings
MAX_OBJECTS = 8  # per image
HEAD = 0.3  # share of the images with the most frequent category
TAIL = (2, 6)  # images that show the rarest one: 0.25 % of all, between these
REPEAT = 0.3  # probability of one more object of a category that an image shows
NEGATIVE = 0.5  # probability that an absent category is listed as absent
UNFINISHED = 0.1  # probability that a category with several objects in an image misses an annotation
DIAMETERS = (0.12, 0.7)  # of objects, relative to the image's side, before overlaps are resolved


@dataclasses.dataclass(frozen=True)
class Placed:
  """Position of an object in its image, in pixels."""

  label: int
  centre: tuple[float, float]
  radius: float
  angle: float


def generate(out_dir: str, *, images: int, val_images: int, image_size: int, categories: int, seed: int) -> None:
  """Writes `train.json`, `val.json`, `images/train/*.jpg` and `images/val/*.jpg`; equal calls write equal files.

  A folder with the complete set is not changed; an incomplete one is written again. Other processes wait meanwhile.

  Args:
    out_dir: folder, created if needed.
    images: of the training split.
    val_images: of the validation split, which has every category at least twice if it has two images.
    image_size: side of the square images, pixels, at least 32.
    categories: size of the vocabulary, at most `shape_drawing.MAX_LOOKS`.
    seed: chooses everything else.

  Raises:
    ValueError: the folder has another data set, or a number is out of range.
  """
  settings = {
    'version': VERSION,
    'images': images,
    'val_images': val_images,
    'image_size': image_size,
    'categories': categories,
    'seed': seed,
  }
  _check(settings)
  settings_path = os.path.join(out_dir, 'shapes.json')
  if _is_complete(out_dir, settings_path, settings):
    return
  with locked(os.path.join(out_dir, 'shapes.lock'), f'drawing shapes in {out_dir}'):
    if not _is_complete(out_dir, settings_path, settings):
      _generate(out_dir, settings_path, settings)


def _generate(out_dir: str, settings_path: str, settings: Mapping[str, int]) -> None:
  categories, image_size, seed = settings['categories'], settings['image_size'], settings['seed']
  _write_json(settings_path, {'settings': settings, 'complete': False})
  looks = shape_drawing.looks(categories)
  frequency_order = np.random.default_rng((seed, 0)).permutation(categories)
  splits = {}
  for number, (split, count) in enumerate((('train', 'images'), ('val', 'val_images')), start=1):
    labels = _assign(np.random.default_rng((seed, number)), settings[count], frequency_order)
    first_id = 1 if split == 'train' else settings['images'] + 1
    splits[split] = _write_images(out_dir, split, first_id, labels, looks, image_size, (seed, number))
  table = _category_table(looks, splits['train']['annotations'])
  for split, content in splits.items():
    info = {'description': f'generated shapes, {split}', 'version': str(VERSION)}
    _write_json(os.path.join(out_dir, f'{split}.json'), {'info': info, 'licenses': [], **content, 'categories': table})
  _write_json(settings_path, {'settings': settings, 'complete': True})


def _check(settings: dict) -> None:
  if settings['images'] < 1 or settings['val_images'] < 1:
    raise ValueError(f'generated shapes need at least one image in each split, not {settings}')
  if settings['image_size'] < 32:
    raise ValueError(f'generated shapes need images of at least 32 pixels, not {settings["image_size"]}')
  if not 1 <= settings['categories'] <= shape_drawing.MAX_LOOKS:
    raise ValueError(f'between 1 and {shape_drawing.MAX_LOOKS} categories of shapes, not {settings["categories"]}')


def _is_complete(out_dir: str, settings_path: str, settings: dict) -> bool:
  if not os.path.exists(settings_path):
    for split in ('train', 'val'):
      if os.path.exists(os.path.join(out_dir, f'{split}.json')):
        raise ValueError(f'{out_dir} already holds another data set ({split}.json): choose an empty folder')
    return False
  with open(settings_path) as f:
    found = json.load(f)
  if found['settings'] != settings:
    raise ValueError(
      f'{out_dir} holds shapes generated with {found["settings"]}, not {settings}: delete it or choose another folder'
    )
  return found['complete']


def _write_json(path: str, content: dict) -> None:
  with open(f'{path}.partial', 'w') as f:
    json.dump(content, f, separators=(',', ':'))
  os.replace(f'{path}.partial', path)


def _images_per_category(num_images: int, num_categories: int) -> np.ndarray:
  """Images per category, int [categories], most frequent first: exponential decay, like most of LVIS's counts."""
  head = max(HEAD * num_images, 1.0)
  tail = min(max(0.0025 * num_images, TAIL[0]), TAIL[1], head)
  decay = np.linspace(0, 1, num_categories)
  counts = head * (tail / head) ** decay
  room = 0.4 * MAX_OBJECTS * num_images / counts.sum()  # repeats and chance need the rest
  counts = np.maximum(counts * min(room, 1.0), TAIL[0])
  return np.minimum(np.round(counts).astype(int), num_images)


def _assign(rng: np.random.Generator, num_images: int, frequency_order: np.ndarray) -> list[list[int]]:
  """Assigns each image the labels of its 1 to 8 objects. Rare categories come first, so none is lost."""
  labels: list[list[int]] = [[] for _ in range(num_images)]
  counts = _images_per_category(num_images, len(frequency_order))
  for label, count in zip(frequency_order[::-1].tolist(), counts[::-1].tolist(), strict=True):
    room = [i for i in range(num_images) if len(labels[i]) < MAX_OBJECTS]
    for i in rng.choice(room, min(count, len(room)), replace=False).tolist():
      labels[i].append(label)
      while len(labels[i]) < MAX_OBJECTS and rng.random() < REPEAT:
        labels[i].append(label)
  for objects in labels:
    if not objects:
      objects.append(int(frequency_order[0]))
  return labels


def _write_images(
  out_dir: str,
  split: str,
  first_id: int,
  labels: list[list[int]],
  looks: list[Look],
  image_size: int,
  seed: tuple[int, int],
) -> dict[str, list]:
  """Draws a split's images; returns its `images` and `annotations` in LVIS's format."""
  os.makedirs(os.path.join(out_dir, 'images', split), exist_ok=True)
  images, annotations = [], []
  for number, image_labels in enumerate(labels):
    rng = np.random.default_rng((*seed, number))
    image_id = first_id + number
    picture = shape_drawing.background(rng, image_size)
    objects = []
    for placed in _place(rng, image_labels, image_size):
      polygons = shape_drawing.draw(picture, looks[placed.label], placed.centre, placed.radius, placed.angle)
      objects.append((placed.label, polygons))
    unfinished = _leave_one_out(rng, objects)
    absent = sorted(set(range(len(looks))) - set(image_labels))
    file_name = f'{split}/{image_id:06d}.jpg'
    shape_drawing.develop(rng, picture).save(os.path.join(out_dir, 'images', file_name), quality=92, subsampling=0)
    images.append(
      {
        'id': image_id,
        'file_name': file_name,
        'height': image_size,
        'width': image_size,
        'neg_category_ids': [label + 1 for label in absent if rng.random() < NEGATIVE],
        'not_exhaustive_category_ids': [label + 1 for label in unfinished],
      }
    )
    for label, polygons in objects:
      annotations.append({'id': 0, 'image_id': image_id, 'category_id': label + 1, **_geometry(polygons)})
  first_annotation = 1 if split == 'train' else 10_000_001
  for number, annotation in enumerate(annotations):
    annotation['id'] = first_annotation + number
  return {'images': images, 'annotations': annotations}


def _place(rng: np.random.Generator, labels: list[int], image_size: int) -> list[Placed]:
  """Places all objects inside the image, large ones first, with little overlap: objects without room shrink."""
  low, high = np.log(DIAMETERS)
  high = min(high, np.log(1.1 / np.sqrt(len(labels))))
  radii = np.sort(np.exp(rng.uniform(low, high, len(labels))))[::-1] * image_size / 2
  placed: list[Placed] = []
  for label, radius in zip(rng.permutation(labels).tolist(), radii.tolist(), strict=True):
    while True:
      centres = rng.uniform(radius + 1, image_size - radius - 1, (40, 2))
      free = [
        centre
        for centre in centres.tolist()
        if all(np.hypot(*np.subtract(centre, p.centre)) > 0.9 * (radius + p.radius) for p in placed)
      ]
      if free:
        break
      radius *= 0.85
    placed.append(Placed(label, tuple(free[0]), radius, rng.uniform(0, 2 * np.pi)))
  return placed


def _leave_one_out(rng: np.random.Generator, objects: list[tuple[int, list[np.ndarray]]]) -> list[int]:
  """Sometimes removes one of several annotations of a category, as real annotators do; returns these categories."""
  labels = [label for label, _ in objects]
  repeated = sorted({label for label in labels if labels.count(label) > 1})
  unfinished = [label for label in repeated if rng.random() < UNFINISHED]
  for label in unfinished:
    labels = [other for other, _ in objects]
    del objects[labels.index(label)]
  return unfinished


def _geometry(polygons: list[np.ndarray]) -> dict:
  """Makes `segmentation`, `bbox` and `area` with two decimals, as in LVIS; polygons must not overlap."""
  polygons = [np.round(polygon, 2) for polygon in polygons]
  points = np.concatenate(polygons)
  x1, y1 = points.min(axis=0)
  x2, y2 = points.max(axis=0)
  area = 0.0
  for x, y in (polygon.T for polygon in polygons):
    area += 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
  return {
    'area': round(float(area), 2),
    'bbox': [round(float(v), 2) for v in (x1, y1, x2 - x1, y2 - y1)],
    'segmentation': [np.round(polygon, 2).ravel().tolist() for polygon in polygons],
  }


def _category_table(looks: list[Look], annotations: list[dict]) -> list[dict]:
  """Makes the category table with counts in the training split, which determine the group, as in LVIS."""
  instances = collections.Counter(a['category_id'] for a in annotations)
  images = collections.Counter(category for category, _ in {(a['category_id'], a['image_id']) for a in annotations})
  table = []
  for category_id, look in enumerate(looks, start=1):
    image_count = images[category_id]
    table.append(
      {
        'id': category_id,
        'name': look.name,
        'synset': f'{look.name}.n.01',
        'synonyms': [look.name],
        'def': f'a {look.hue} {look.outline} with a {look.texture} texture',
        'image_count': image_count,
        'instance_count': instances[category_id],
        'frequency': 'r' if image_count <= 10 else 'c' if image_count <= 100 else 'f',
      }
    )
  return table
