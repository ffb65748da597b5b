"""Objects that a split loses between its annotation file and training: dropped, counted by reason, and reported."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from input_pipeline import examples
from input_pipeline.fields.scene import Scene
from input_pipeline.fields.table import Fields
from input_pipeline.records import Records
from input_pipeline.transforms import Placement
from jaxdet.annotations.columns import Annotations
from jaxdet.annotations.ragged import Ragged

OUTSIDE = 'dropped_objects_outside_image'
MANY = 0.05  # share of a split's objects; who loses more is warned

UNTURNED, TURNED_BOXES = 'images_annotated_unturned', 'images_with_turned_boxes'
REMARKS = {
  UNTURNED: 'images are annotated with the size before the turn of their EXIF, so they are used without it',
  TURNED_BOXES: 'of these have boxes that fit only the turned image: exchange width and height of these images',
}


def without_objects_outside(annotations: Annotations) -> Annotations:
  """Drops the objects whose boxes have no area in their image, and counts them, as mmdetection drops them."""
  rows, images = annotations.objects_in_image.values, annotations.objects_in_image.rows()
  height, width = annotations.image_sizes[images].T
  x1, y1, x2, y2 = annotations.boxes[rows].T
  inside = (x1 < width) & (y1 < height) & (x2 > 0) & (y2 > 0)
  kept, lost = rows[inside], rows[~inside]
  per_image = np.bincount(images[inside], minlength=len(annotations))
  has_mask = annotations.polygon_lengths.lengths > 0
  has_mask[list(annotations.rle)] = True
  counts = dict(annotations.counts)
  counts |= {
    'images_without_objects': int((per_image == 0).sum()),
    'objects': len(kept),
    'crowds': int(annotations.crowds[kept].sum()),
    'ignored': int(annotations.ignored[kept].sum()),
    'objects_without_mask': counts['objects_without_mask'] - int((~has_mask[lost]).sum()),
    OUTSIDE: len(lost),
  }
  return dataclasses.replace(annotations, objects_in_image=Ragged.from_lengths(kept, per_image), counts=counts)


def with_turned_boxes(annotations: Annotations, unturned: Sequence[int]) -> list[int]:
  """Chooses those of some images whose boxes were drawn on the turned image.

  Args:
    unturned: positions of images whose EXIF orientation exchanges the sides, and that are annotated by the size of the
      stored pixels. They are not turned, so boxes that leave them and fit the turned image are elsewhere than meant.
  """
  found = []
  for image in unturned:
    height, width = annotations.image_sizes[image].tolist()
    boxes = annotations.boxes[annotations.objects_in_image[image]]
    x, y = (boxes[:, 2:].max(axis=0, initial=0) - 1).tolist()  # a pixel for tools that count from 1
    if (x > width or y > height) and x <= height and y <= width:
      found.append(image)
  return found


def dropped(counts: Mapping[str, int], lacking: Sequence[str] = ()) -> dict[str, int]:
  """Numbers of the objects that training does not see, by reason; reasons without objects are left out.

  Args:
    counts: of a split's records.
    lacking: names of counts of objects that training leaves out, such as those without a mask.
  """
  reasons = [name for name in counts if name.startswith('dropped_') and not name.startswith('dropped_polygons')]
  return {name: counts[name] for name in (*reasons, *lacking) if counts.get(name)}


def report(split: str, path: str, counts: Mapping[str, int], lacking: Sequence[str] = ()) -> None:
  """Logs a split's objects and its drops by reason: a warning if it loses more than MANY of its objects."""
  lost = dropped(counts, lacking)
  in_file = counts['objects'] + sum(number for name, number in lost.items() if name not in lacking)
  what = f"split '{split}' of {path}: {counts['objects']} objects in {counts['images']} images"
  if not lost:
    logging.info('%s', what)
  elif sum(lost.values()) > MANY * in_file:
    logging.warning('%s; %d of %d objects in the file are not used: %s', what, sum(lost.values()), in_file, _list(lost))
  else:
    logging.info('%s; %d of %d in the file are not used: %s', what, sum(lost.values()), in_file, _list(lost))
  for name, words in REMARKS.items():
    if counts.get(name):
      logging.warning("split '%s' of %s: %d %s (%s)", split, path, counts[name], words, name)


def check_any_object(sources: Sequence[tuple[str, Records, Fields]]) -> None:
  """Raises a ValueError if training would see no object of any source: annotation file, records, fields of batches."""
  if any(has_object_to_train_on(records, fields) for _, records, fields in sources):
    return
  found = []
  for path, records, fields in sources:
    counts = records.counts
    reasons = dropped(counts) | {
      name: counts[name] for name in ('crowds', 'ignored', *fields.lacking) if counts.get(name)
    }
    here = f'{counts["images"]} images, {counts["objects"]} objects'
    found.append(f'{path}: {here}' + (f', {_list(reasons)}' if reasons else ''))
  raise ValueError(
    f'no object to train on ({"; ".join(found)}): correct the annotations, add some, or change config.data.ignore'
  )


def has_object_to_train_on(records: Records, fields: Fields) -> bool:
  """Whether training keeps an object of a whole image; usually the first image with objects tells."""
  for image in np.unique(records.crowds.rows()[~records.crowds.values]).tolist():
    example = examples.parse(records.read([image])[0])
    whole = Placement(example.size, example.size, (0, 0), example.size)
    if fields.kept(Scene(example.objects, example.image, whole))[0].any():
      return True
  return False


def _list(counts: Mapping[str, int]) -> str:
  return ', '.join(f'{name} {number}' for name, number in counts.items())
