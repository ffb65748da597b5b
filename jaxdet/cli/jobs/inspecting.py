"""Prints the problems and statistics of a data set's files."""

import os
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from input_pipeline import data_files, drops, inspection
from input_pipeline.inspection import Inspection
from jaxdet.annotations.columns import Annotations
from jaxdet.annotations.json_stream import LacksLists
from jaxdet.annotations.same_categories import BOTH, Table, check_same_categories

SMALL, LARGE = 32**2, 96**2  # limits of COCO's sizes, pixels of area
GROUPS = {'r': 'rare', 'c': 'common', 'f': 'frequent'}
SHOWN = 5  # categories with most and with fewest objects
REFUSED = 1  # exit status if training would refuse a file
REFUSAL = 'training would refuse this: '


def print_inspection(path: str, images: str | None = None) -> None:
  """Prints a block per annotation file; exits with status 1 if training would refuse one of them, or two together.

  Args:
    path: an annotation file, splits of VOC, or the folder of a data set; JSON files of such a folder that have no lists
      of images, annotations and categories are named and left out.
    images: folder of the images; None: it is found, see `data_files.image_root`.

  Raises:
    FileNotFoundError: there is no such file or folder, or no annotation file in it.
  """
  is_folder = os.path.isdir(path)
  paths = data_files.annotation_files(path) if is_folder else [path]
  if not paths:
    raise FileNotFoundError(
      f'no annotation file in {path}: none of *.json, *.json.gz, annotations/*.json, annotations/*.json.gz, VOC????/'
    )
  tables: dict[str, Table] = {}
  refused = False
  for file in paths:
    try:
      annotations, problems = inspection.read_annotations(file)
    except LacksLists as reason:
      refused |= not is_folder
      print(f'{"left out: " if is_folder else REFUSAL}{reason}\n')
      continue
    except ValueError as error:
      refused = True
      print(f'{REFUSAL}{error}\n')
      continue
    tables[file] = Table(annotations.categories, file)
    root = images or data_files.image_root(file, annotations.file_names)
    found = inspection.inspect(file, annotations, problems, root)
    refused |= found.num_problems > 0
    print('\n'.join(lines(found)), end='\n\n')
  for difference in _different_categories(tables):
    refused = True
    print(f'{REFUSAL}{difference}\n')
  if not tables and not refused:
    raise FileNotFoundError(f'no annotation file in {path}: {len(paths)} JSON files are none of LVIS or COCO')
  if refused:
    sys.exit(REFUSED)


def _different_categories(tables: Mapping[str, Table]) -> Iterator[str]:
  """Yields messages on files whose names differ in 'train' and 'val' alone and that have different categories."""
  for file, table in tables.items():
    folder, name = os.path.split(file)
    other = tables.get(os.path.join(folder, name.replace('train', 'val')), table)
    try:
      check_same_categories(table, other, BOTH)
    except ValueError as difference:
      yield str(difference)


def lines(found: Inspection) -> Iterator[str]:
  """Yields the lines of a block."""
  annotations, counts = found.annotations, found.counts
  yield found.path
  empty = counts['images_without_objects']
  yield f'  images       {counts["images"]}, {empty} without objects; below {found.image_root}'
  if len(annotations):
    low, high = annotations.image_sizes.min(0), annotations.image_sizes.max(0)
    yield f'  height       {low[0]} to {high[0]} pixels'
    yield f'  width        {low[1]} to {high[1]} pixels'
  yield f'  objects      {counts["objects"]}: {", ".join(_kinds(annotations, counts))}'
  if counts['objects']:
    most = annotations.objects_in_image.lengths.max()
    yield f'  per image    {counts["objects"] / len(annotations):.1f}, at most {most}'
    yield f'  sizes        {_sizes(annotations)}'
  yield from _categories(annotations)
  lost = drops.dropped(counts)
  if lost:
    share = sum(lost.values()) / (counts['objects'] + sum(lost.values()))
    yield f'  dropped      {share:.1%} of the objects: {", ".join(f"{name} {number}" for name, number in lost.items())}'
  for name, words in drops.REMARKS.items():
    if counts[name]:
      yield f'  EXIF         {counts[name]} {words}'
  if not found.num_problems:
    yield '  problems     none'
    return
  yield f'  problems     {found.num_problems}: training would refuse this file'
  yield from (f'    {problem}' for problem in found.problems)
  if found.num_problems > len(found.problems):
    yield f'    ... and {found.num_problems - len(found.problems)} more'


def _kinds(annotations: Annotations, counts: dict[str, int]) -> Iterator[str]:
  yield f'{counts["objects"] - counts["objects_without_mask"]} with a mask'
  if annotations.keypoints is not None:
    rows = annotations.objects_in_image.values
    yield f'{int((annotations.keypoints[rows, :, 2] > 0).any(1).sum())} with keypoints'
  for name in ('crowds', 'ignored'):
    if counts[name]:
      yield f'{counts[name]} {name}'


def _sizes(annotations: Annotations) -> str:
  """Shares of small, medium and large objects by the file's areas."""
  areas = annotations.areas[annotations.objects_in_image.values]
  small, large = (areas < SMALL).mean(), (areas >= LARGE).mean()
  return f'{small:.0%} below 32 x 32 pixels, {1 - small - large:.0%} up to 96 x 96, {large:.0%} above'


def _categories(annotations: Annotations) -> Iterator[str]:
  labels = annotations.labels[annotations.objects_in_image.values]
  objects = np.bincount(labels, minlength=len(annotations.categories))
  yield f'  categories   {len(annotations.categories)}, {int((objects == 0).sum())} without objects'
  groups = [category.frequency for category in annotations.categories]
  if any(groups):
    yield f'  frequency    {", ".join(f"{groups.count(key)} {name}" for key, name in GROUPS.items())}'
  order = np.argsort(-objects, kind='stable')
  order = order[objects[order] > 0].tolist()
  if not order:
    return
  named = [f'{annotations.categories[label].name} {objects[label]}' for label in order]
  if len(named) <= 2 * SHOWN:
    yield f'  objects of   {", ".join(named)}'
  else:
    yield f'  most         {", ".join(named[:SHOWN])}'
    yield f'  fewest       {", ".join(named[-SHOWN:])}'
