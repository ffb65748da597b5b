"""Evaluates a checkpoint, or applies it to images."""

import os
from collections.abc import Collection, Sequence

import jax
from absl import logging
from ml_collections import ConfigDict

from input_pipeline.given_images import GivenImage, list_images
from input_pipeline.predict_images import image_batches, read_image
from jaxdet import config_ranges
from jaxdet.annotations.same_categories import Table
from jaxdet.cli.jobs.training import open_dataset
from jaxdet.evaluation import check_evaluation, evaluate, predict
from jaxdet.models.build import build_detector
from jaxdet.training.categories import are_placeholders, check_checkpoint_categories
from jaxdet.training.checkpoint import load_for_inference
from jaxdet.training.processes import check_together

SHOWN = 5  # files in the last message; the log names all


def evaluate_checkpoint(config: ConfigDict | None, workdir: str, checkpoint: str | None = None) -> None:
  """Evaluates the checkpoint, or the last one in `workdir`; `config` None: the checkpoint's own."""
  variables, metadata = load_for_inference(checkpoint or workdir)
  config = config or metadata.config
  with config.unlocked():
    config.data.train = ()  # its records are not needed
  dataset = open_dataset(config, workdir)
  known, wanted = Table(metadata.categories, checkpoint or workdir), Table(dataset.categories, dataset.annotations)
  check_checkpoint_categories(known, wanted, config.data.compare_categories)
  detector = build_detector(config.model, len(metadata.categories))

  def check() -> None:
    if jax.process_index() == 0:
      check_evaluation(config, detector, variables, dataset, workdir)

  check_together(check)
  evaluate(config, detector, variables, dataset, workdir)


def predict_images(
  config: ConfigDict | None,
  workdir: str,
  images: Sequence[str],
  output: str | None = None,
  checkpoint: str | None = None,
) -> None:
  """Writes detections and pictures for images, folders of images, or lists of them, to `output`.

  A file that cannot be read is named in the log, and the others are done.

  Args:
    config: None: the checkpoint's own.
    workdir: folder of the run.
    images: files, folders, or text files with one path per line.
    output: a folder; None: `workdir`/predictions.
    checkpoint: None: the last one in `workdir`.

  Raises:
    FileNotFoundError: there are no images.
    ValueError: in the end, if an image that was named could not be read, or none.
  """
  output = output or os.path.join(workdir, 'predictions')
  given = list_images(images, output)
  paths = [image.path for image in given]
  variables, metadata = load_for_inference(checkpoint or workdir)
  config = config or metadata.config
  config_ranges.check(config)
  if are_placeholders(metadata.categories):
    logging.warning('%s does not know its categories: results have numbers for names', checkpoint or workdir)
  detector = build_detector(config.model, len(metadata.categories))
  batches = image_batches(paths, config)
  done = predict(config, detector, variables, metadata.categories, batches, paths, read_image, output)
  logging.info('predictions of %d images: %s', len(done), os.path.join(output, 'predictions.json'))
  _report_lost(given, done)


def _report_lost(given: Sequence[GivenImage], done: Collection[int]) -> None:
  """Reports the files that could not be read; an error if one of them was named, or if no file could be read.

  A file that was only found in a folder may be no image at all, so it is a warning.
  """
  lost = [image for index, image in enumerate(given) if index not in done]
  if not lost:
    return
  shown = ', '.join(image.path for image in lost[:SHOWN]) + (', ..' if len(lost) > SHOWN else '')
  message = f'{len(lost)} of {len(given)} files could not be read (reasons above): {shown}'
  if not done or any(image.named for image in lost):
    raise ValueError(message)
  logging.warning('%s', message)
