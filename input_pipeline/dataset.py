"""From a configuration to a `Dataset`: finds the files, prepares the records, yields the batches."""

import dataclasses
import errno
import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from input_pipeline import (
  center_crop,
  copy_paste,
  photometric,
  pipeline,
  random_crop,
  sampling,
  shapes,
  ssd_augmentation,
)
from input_pipeline.class_counts import count_classes, read_num_shots
from input_pipeline.image_factors import check_sampler, image_factors
from input_pipeline.image_subset import RecordsOfImages, images_of_file
from input_pipeline.loading import Counters, EvaluationImages, TrainingImages
from input_pipeline.preparation import prepare
from input_pipeline.records import Records, RecordsNotFound
from jaxdet.annotations.files import find
from jaxdet.configuration import detection_canvases
from jaxdet.structures import Batch, Category

NAMES = ('lvis', 'coco', 'voc', 'shapes')

WAIT_SECONDS = 6 * 3600  # of the other processes for process 0's records
POLL_SECONDS = 5


def build(config: ConfigDict, workdir: str = '', process_index: int = 0, process_count: int = 1) -> 'RecordDataset':
  """The data set of a configuration, its records prepared where they are not yet.

  Reads config.data, config.seed, config.train.batch_size, config.eval.batch_size and config.eval.image_ids. An
  empty config.data.train leaves the training split out: enough to evaluate.

  Args:
    workdir: where records go if the data's own folder cannot be written to.
    process_index: of this host among `process_count`; each yields its part of a batch. Process 0 prepares.

  Raises:
    FileNotFoundError: an annotation file or an image is missing; the message names what was tried.
    ValueError: a setting does not fit, such as a batch that cannot be divided by the processes.
  """
  _check(config, process_count)
  data = config.data
  if data.name == 'shapes' and process_index == 0:
    shapes.generate(data.dir, **data.shapes, seed=config.seed)
  train_path, train = '', None
  if data.train:
    train_path, train = _open_split(data, 'train', data.train, workdir, process_index)
    _check_masks(data, train_path, train)
  val_path, val = _open_split(data, 'val', data.val, workdir, process_index)
  if config.eval.image_ids:
    val = images_of_file(val, config.eval.image_ids)
  if train and [category.id for category in train.categories] != [category.id for category in val.categories]:
    raise ValueError(f'{train_path} and {val_path} have different categories')
  return RecordDataset(
    categories=(train or val).categories,
    num_train_images=len(train) if train else 0,
    annotations=val_path,
    image_ids=val.image_ids,
    image_files=tuple(os.path.join(data.dir, name) for name in val.file_names),
    config=config,
    train=train,
    val=val,
    process_index=process_index,
    process_count=process_count,
  )


@dataclasses.dataclass(frozen=True)
class RecordDataset:
  """The Dataset of `structures`, from prepared records."""

  categories: tuple[Category, ...]
  num_train_images: int
  annotations: str
  image_ids: np.ndarray
  image_files: tuple[str, ...]
  config: ConfigDict
  train: Records | None
  val: Records | RecordsOfImages
  process_index: int
  process_count: int
  _counters: Counters = dataclasses.field(default_factory=Counters)

  def train_batches(self, start_step: int) -> Iterator[Batch]:
    """Endless batches of step `start_step`, `start_step` + 1, ...; this process's part.

    Raises:
      ValueError: there is no training split, or an image is broken; the message names it.
    """
    if self.train is None:
      raise ValueError('config.data.train is empty: this data set can only be evaluated')
    config = self.config
    factors = image_factors(
      self.train.labels, len(self.categories), config.data.sampler.name, config.data.sampler.threshold
    )
    second_canvas = sampling.orientations(self.train.image_sizes, len(config.data.canvases))
    if len(config.data.canvases) == 2 and config.data.resize.crop.probability:
      second_canvas = random_crop.tall_probability(self.train.image_sizes, config.data.resize)
    sampler = sampling.BatchSampler(factors, second_canvas, config.train.batch_size, config.seed)
    rows = self._rows(config.train.batch_size)
    paste = None
    if config.data.copy_paste.name:
      paste = copy_paste.CopyPaste(self.train, config.data, config.seed, second_canvas)
    images = TrainingImages(self.train, sampler, paste, config.data, config.seed, rows, self._counters)
    return pipeline.batches(images.allocate, images.fill, itertools.count(start_step))

  def eval_batches(self) -> Iterator[Batch]:
    """The validation split once; with two canvases first the wide images, then the others, each in order.

    Every process yields the same number of batches, each as large; rows that only fill up are not valid.
    There are no objects in them (N = 0): what is true stands in the annotation file.

    Raises:
      ValueError: an image is broken; the message names it.
    """
    config = self.config
    canvases = sampling.orientations(self.val.image_sizes, len(detection_canvases(config.data)))
    plan = sampling.evaluation_plan(canvases, config.eval.batch_size)
    rows = self._rows(config.eval.batch_size)
    images = EvaluationImages(self.val, plan, config.data, rows, self._counters)
    return pipeline.batches(images.allocate, images.fill, range(len(plan)))

  def class_counts(self) -> dict[str, Any]:
    """Training images that hold each class (`images`), its objects (`instances`), and `num_images`.

    Raises:
      ValueError: the file config.data.num_shots, which has the `instances` where it is given, is not of these classes.
    """
    counts = count_classes(self.train.labels, len(self.categories))
    instances = counts.instances
    if path := self.config.data.num_shots:
      instances = read_num_shots(path)
      if len(instances) != len(self.categories):
        raise ValueError(
          f'data.num_shots {path} has counts of {len(instances)} classes, the annotation file {len(self.categories)} '
          'categories: make it anew with the command `counts`'
        )
    return {
      'images': tuple(counts.images.tolist()),
      'instances': tuple(instances.tolist()),
      'num_images': counts.num_images,
    }

  def counters(self) -> Mapping[str, int]:
    """What was met so far in images that were loaded, also in those read ahead."""
    return self._counters.read()

  def _rows(self, batch_size: int) -> range:
    """The rows of a global batch that this process loads."""
    local_size = batch_size // self.process_count
    return range(self.process_index * local_size, (self.process_index + 1) * local_size)


def _open_split(
  data: ConfigDict, split: str, names: Sequence[str], workdir: str, process_index: int
) -> tuple[str, Records]:
  """(path of the annotation file, records) of a split; process 0 makes the records, the others wait for them."""
  beside = os.path.join(data.dir, data.records)
  elsewhere = os.path.join(workdir or _cache_folder(data.dir), os.path.basename(data.records))
  if process_index:
    opened = _wait(split, (beside, elsewhere))
    return find(data.dir, names), opened
  path = find(data.dir, names)
  try:
    return path, prepare(path, data.dir, beside, split)
  except OSError as error:
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
      raise
    logging.info('Cannot write records into %s (%s): they go to %s', beside, error.strerror, elsewhere)
  return path, prepare(path, data.dir, elsewhere, split)


def _cache_folder(data_dir: str) -> str:
  """A folder of the user's for the data set that lies at this path."""
  cache = os.environ.get('XDG_CACHE_HOME', os.path.join(os.path.expanduser('~'), '.cache'))
  name = hashlib.sha256(os.path.abspath(data_dir).encode()).hexdigest()[:16]
  return os.path.join(cache, 'jaxdet', name)


def _wait(split: str, folders: Sequence[str]) -> Records:
  """The split's records as soon as process 0 has them in one of the folders."""
  until = time.monotonic() + WAIT_SECONDS
  while time.monotonic() < until:
    for folder in folders:
      try:
        return Records.open(folder, split)
      except RecordsNotFound:
        pass
    time.sleep(POLL_SECONDS)
  raise TimeoutError(
    f"no records of split '{split}' in {' or '.join(folders)} after {WAIT_SECONDS} s: has process 0 failed, "
    'or is config.data.records not on a file system that all hosts see?'
  )


def _check(config: ConfigDict, process_count: int) -> None:
  data = config.data
  if data.name not in NAMES:
    raise ValueError(f"unknown data.name '{data.name}': choose one of {', '.join(NAMES)}")
  check_sampler(data.sampler.name)
  if data.train and data.copy_paste.name:
    copy_paste.check(data)
  if data.train:
    random_crop.check(data.resize)
    ssd_augmentation.check(data.resize, len(data.canvases))
    center_crop.check(data.resize, len(data.canvases))
    photometric.check(data.photometric)
  for name in ('train', 'eval'):
    if config[name].batch_size % process_count:
      raise ValueError(f'{name}.batch_size {config[name].batch_size} cannot be divided by {process_count} processes')
  if data.mask_size % 8:
    raise ValueError(f'data.mask_size {data.mask_size} is no multiple of 8')
  _check_canvases(data.canvases)
  _check_canvases(detection_canvases(data))


def _check_masks(data: ConfigDict, path: str, train: Records) -> None:
  """Raises a ValueError where training with masks would leave out every object."""
  if data.mask_size and 0 < train.counts['objects'] == train.counts['objects_without_mask']:
    raise ValueError(
      f'no object of {path} has a mask, so training with masks would leave all out: '
      'set config.data.mask_size and config.data.max_vertices to 0, and choose a detector without masks'
    )


def _check_canvases(canvases: Sequence[tuple[int, int]]) -> None:
  """Raises a ValueError unless there is one canvas, or a wide and a tall one."""
  wide_then_tall = len(canvases) == 2 and canvases[0][1] >= canvases[0][0] and canvases[1][0] >= canvases[1][1]
  if len(canvases) != 1 and not wide_then_tall:
    raise ValueError(f'data.canvases {canvases}: give one (height, width), or a wide one and a tall one')
