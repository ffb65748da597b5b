"""Builds a `Dataset` from a configuration: finds the files, prepares the records, yields the batches."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from input_pipeline import (
  center_crop,
  copy_paste,
  drops,
  pipeline,
  random_crop,
  sampling,
  shapes,
  ssd_augmentation,
)
from input_pipeline.class_counts import count_classes, read_num_shots
from input_pipeline.fields.columns import Columns
from input_pipeline.fields.table import Fields, evaluation_fields, training_fields
from input_pipeline.image_factors import check_sampler, image_factors
from input_pipeline.image_subset import RecordsOfImages, images_of_file
from input_pipeline.loading import Counters, EvaluationImages, TrainingImages
from input_pipeline.records import Records
from input_pipeline.sources import Turns, seed_of, settings_of_sources, split_name
from input_pipeline.splits import open_split
from jaxdet import config_ranges
from jaxdet.annotations.files import find
from jaxdet.annotations.same_categories import Table, check_choice, check_same_categories
from jaxdet.configuration import detection_canvases
from jaxdet.structures import Batch, Category

NAMES = ('lvis', 'coco', 'voc', 'shapes')


def build(config: ConfigDict, workdir: str = '', process_index: int = 0, process_count: int = 1) -> 'RecordDataset':
  """Builds the data set of a configuration, and prepares its records if they do not exist.

  Reads config.data, config.seed, config.train.batch_size, config.eval.batch_size and config.eval.image_ids. Without
  config.data.train there is no training split; evaluation does not need it.

  Args:
    workdir: folder of the records if the data's own folder is not writable.
    process_index: of this host among `process_count`; each yields its part of a batch. One makes records and the
      others wait.

  Raises:
    FileNotFoundError: an annotation file or an image is missing; the message names what was tried.
    ValueError: a setting does not fit, such as a batch size that is no multiple of the number of processes, annotation
      files have different categories, or there is no object to train on.
  """
  config_ranges.check(config)
  data = config.data
  settings = settings_of_sources(data)
  _check(config, settings, process_count)
  if data.name == 'shapes':
    shapes.generate(data.dir, **data.shapes, seed=config.seed)
  # A missing file is known before records are made, which takes long.
  for own in settings.values():
    find(own.dir, own.train)
  find(data.dir, data.val)
  sources = tuple(_open_source(name, own, workdir) for name, own in settings.items())
  if process_index == 0:
    for source in sources:
      drops.report(source.records.split, source.path, source.records.counts, source.fields.lacking)
  if sources and not any(source.fields.images for source in sources):
    drops.check_any_object([(source.path, source.records, source.fields) for source in sources])
  val_path, val = open_split(data, 'val', data.val, evaluation_fields(data), workdir)
  if process_index == 0:
    drops.report('val', val_path, val.counts)
  if config.eval.image_ids:
    val = images_of_file(val, config.eval.image_ids)
  for source in sources:
    tables = Table(source.records.categories, source.path), Table(val.categories, val_path)
    check_same_categories(*tables, data.compare_categories)
  return RecordDataset(
    categories=(sources[0].records if sources else val).categories,
    num_train_images=sum(len(source.records) for source in sources),
    annotations=val_path,
    image_ids=val.image_ids,
    image_files=tuple(os.path.join(data.dir, name) for name in val.file_names),
    config=config,
    sources=sources,
    val=val,
    process_index=process_index,
    process_count=process_count,
  )


@dataclasses.dataclass(frozen=True)
class Source:
  """A source of training images with its own settings, see sources.py."""

  path: str  # annotation file
  data: ConfigDict
  fields: Fields
  records: Records

  def images(self, seed: int, batch_size: int, rows: range, counters: Counters) -> TrainingImages:
    """Loader of the training batches; this process loads `rows` of each."""
    data, records, num_classes = self.data, self.records, len(self.records.categories)
    factors = image_factors(records.labels, num_classes, data.sampler.name, data.sampler.threshold)
    second_canvas = sampling.orientations(records.image_sizes, len(data.canvases))
    if len(data.canvases) == 2 and data.resize.crop.probability:
      second_canvas = random_crop.tall_probability(records.image_sizes, data.resize)
    sampler = sampling.BatchSampler(factors, second_canvas, batch_size, seed)
    paste = copy_paste.CopyPaste(records, self.fields, data, seed, second_canvas) if data.copy_paste.name else None
    return TrainingImages(records, sampler, self.fields, paste, data, seed, rows, counters)


@dataclasses.dataclass(frozen=True)
class RecordDataset:
  """A `structures.Dataset` of prepared records."""

  categories: tuple[Category, ...]
  num_train_images: int
  annotations: str
  image_ids: np.ndarray
  image_files: tuple[str, ...]
  config: ConfigDict
  sources: tuple[Source, ...]  # of training images
  val: Records | RecordsOfImages
  process_index: int
  process_count: int
  _counters: Counters = dataclasses.field(default_factory=Counters)

  @property
  def train(self) -> Records | None:
    """Records of the first source."""
    return self.sources[0].records if self.sources else None

  @property
  def content(self) -> tuple[str, ...]:
    """Digests of the annotations of all sources and of the validation split; the same on all processes of a job."""
    return (*(source.records.annotations for source in self.sources), self.val.annotations)

  def train_batches(self, start_step: int) -> Iterator[Batch]:
    """Yields this process's part of the batches of steps `start_step`, `start_step` + 1, ..., endlessly.

    Raises:
      ValueError: there is no training split, or an image is broken; the message names it.
    """
    if not self.sources:
      raise ValueError('config.data.train is empty: this data set can only be evaluated')
    config, batch_size = self.config, self.config.train.batch_size
    rows = self._rows(batch_size)
    turns = Turns([source.data.rate for source in self.sources], config.seed)
    images = [
      source.images(seed_of(config.seed, position), batch_size, rows, self._counters)
      for position, source in enumerate(self.sources)
    ]

    def allocate(step: int) -> Columns:
      source, own_step = turns.turn(step)
      return images[source].allocate(own_step)

    def fill(step: int, row: int, columns: Columns) -> None:
      source, own_step = turns.turn(step)
      images[source].fill(own_step, row, columns)

    return pipeline.batches(allocate, fill, itertools.count(start_step))

  def eval_batches(self) -> Iterator[Batch]:
    """Yields the validation split once; with two canvases the wide images first, then the others, each in order.

    Every process yields the same number of batches of the same size; padding rows are not valid. Batches have no
    objects (N = 0): the ground truth is read from the annotation file.

    Raises:
      ValueError: an image is broken; the message names it.
    """
    config = self.config
    canvases = sampling.orientations(self.val.image_sizes, len(detection_canvases(config.data)))
    plan = sampling.evaluation_plan(canvases, config.eval.batch_size)
    rows = self._rows(config.eval.batch_size)
    images = EvaluationImages(self.val, plan, evaluation_fields(config.data), config.data, rows, self._counters)
    return pipeline.batches(images.allocate, images.fill, range(len(plan)))

  def class_counts(self) -> dict[str, Any]:
    """Counts of all sources: training images and objects of each class (`images`, `instances`), and `num_images`.

    Raises:
      ValueError: config.data.num_shots, a file that replaces `instances`, has another number of classes.
    """
    counts = [count_classes(source.records.labels, len(self.categories)) for source in self.sources]
    instances = sum(each.instances for each in counts)
    if path := self.config.data.num_shots:
      instances = read_num_shots(path)
      if len(instances) != len(self.categories):
        raise ValueError(
          f'data.num_shots {path} has counts of {len(instances)} classes, the annotation file {len(self.categories)} '
          'categories: make it anew with the command `counts`'
        )
    return {
      'images': tuple(sum(each.images for each in counts).tolist()),
      'instances': tuple(instances.tolist()),
      'num_images': sum(each.num_images for each in counts),
    }

  def counters(self) -> Mapping[str, int]:
    """Counts of special cases in the images loaded so far, those read ahead included."""
    return self._counters.read()

  def _rows(self, batch_size: int) -> range:
    """Rows of a global batch that this process loads."""
    local_size = batch_size // self.process_count
    return range(self.process_index * local_size, (self.process_index + 1) * local_size)


def _open_source(name: str, data: ConfigDict, workdir: str) -> Source:
  """Opens a source of training images; raises ValueError if its records lack a field that its settings ask for."""
  fields = training_fields(data, num_classes=0)  # the number of classes is not known yet, and not used here
  path, records = open_split(data, split_name(name), data.train, fields, workdir)
  fields.check(records, path)
  return Source(path, data, training_fields(data, len(records.categories)), records)


def _check(config: ConfigDict, settings: Mapping[str, ConfigDict], process_count: int) -> None:
  """Raises a ValueError for settings that do not fit, before a file is read; `settings` are the sources'."""
  data = config.data
  if data.name not in NAMES:
    raise ValueError(f"unknown data.name '{data.name}': choose one of {', '.join(NAMES)}")
  for name in ('train', 'eval'):
    if config[name].batch_size % process_count:
      raise ValueError(f'{name}.batch_size {config[name].batch_size} cannot be divided by {process_count} processes')
  check_choice(data.compare_categories)
  check_sampler(data.sampler.name)
  evaluation_fields(data)
  for own in settings.values():
    check_sampler(own.sampler.name)
    random_crop.check(own.resize)
    ssd_augmentation.check(own.resize, len(own.canvases))
    center_crop.check(own.resize, own.canvases)
    if own.copy_paste.name:
      copy_paste.check(own)
    fields = training_fields(own, num_classes=0)  # the number of classes is not used here
    if own.copy_paste.name and fields.images:
      names = ', '.join(field.name for field in fields.images)
      raise ValueError(
        f"data.copy_paste pastes objects alone, and batches have {names}: set data.copy_paste.name to ''"
      )
