"""Counts the training images and objects of each category of a data set."""

import csv
import pathlib

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from input_pipeline import shapes
from input_pipeline.class_counts import classes_of_images, count_classes, write_num_shots
from input_pipeline.image_factors import category_factors, check_sampler, image_factors
from jaxdet.annotations import columns
from jaxdet.annotations.files import find
from jaxdet.annotations.ragged import Ragged

GROUPS = {'r': 'rare', 'c': 'common', 'f': 'frequent'}


def print_counts(config: ConfigDict, output: str | None = None) -> None:
  """Prints each category's training images, objects and factor by config.data.sampler, and one line per group.

  Reads only the training annotations; images and records are not needed.

  Args:
    config: of the data set.
    output: a folder for the table as counts.csv, and the objects as num_shots.json and num_shots.npy, which
      data.num_shots and DisAlign's code read; None: no file.
  """
  data = config.data
  check_sampler(data.sampler.name)
  if not data.train:
    raise ValueError('config.data.train is empty: counts are those of the training annotations')
  if data.name == 'shapes':
    shapes.generate(data.dir, **data.shapes, seed=config.seed)
  split = columns.read(find(data.dir, data.train))
  categories, objects = split.categories, split.objects_in_image
  labels = Ragged(split.labels[objects.values], objects.offsets)
  counts = count_classes(labels, len(categories))
  factors = category_factors(counts, data.sampler.name, data.sampler.threshold)
  epoch = image_factors(labels, len(categories), data.sampler.name, data.sampler.threshold).sum()

  rows = [
    (category.id, category.name, category.frequency, *numbers)
    for category, *numbers in zip(
      categories, counts.images.tolist(), counts.instances.tolist(), factors.tolist(), strict=True
    )
  ]
  width = max(len(name) for name in ('category', *(category.name for category in categories)))
  print(f'{"category":{width}}  group     images  instances  factor')
  for _, name, frequency, images, instances, factor in rows:
    print(f'{name:{width}}  {GROUPS.get(frequency, ""):8} {images:7}  {instances:9}  {factor:6.2f}')
  frequencies = np.array([category.frequency for category in categories])
  images, classes = classes_of_images(labels, len(categories))
  for frequency, group in GROUPS.items():
    of_group = frequencies == frequency
    if of_group.any():
      num_images = len(np.unique(images[of_group[classes]]))
      print(
        _summary(group, of_group.sum(), (counts.images[of_group] == 0).sum(), num_images, counts.instances[of_group])
      )
  print(_summary('all', len(categories), (counts.images == 0).sum(), len(np.unique(images)), counts.instances))
  print(f'{counts.num_images} images; an epoch of the sampler {data.sampler.name} shows {epoch:.0f}')
  if data.more_sources:
    print(f'of data.train alone, without data.more_sources: {", ".join(data.more_sources)}')

  if output:
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'counts.csv', 'w', newline='') as f:
      writer = csv.writer(f)
      writer.writerow(['id', 'name', 'frequency', 'images', 'instances', 'factor'])
      writer.writerows(rows)
    for name in ('num_shots.json', 'num_shots.npy'):
      write_num_shots(str(folder / name), [category.id for category in categories], counts.instances)
    logging.info('wrote counts.csv, num_shots.json and num_shots.npy into %s', folder)


def _summary(group: str, num_categories: int, without: int, num_images: int, instances: np.ndarray) -> str:
  return (
    f'{group}: {num_categories} categories, {without} of them without training images; '
    f'{num_images} images with {instances.sum()} objects'
  )
