"""Evaluates a checkpoint, or applies it to images."""

import os
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from input_pipeline.predict_images import image_batches, list_images
from jaxdet.annotations.same_categories import Table
from jaxdet.cli.jobs.training import open_dataset
from jaxdet.evaluation import evaluate, predict
from jaxdet.models.build import build_detector
from jaxdet.training.categories import are_placeholders, check_checkpoint_categories
from jaxdet.training.checkpoint import load_for_inference


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
  evaluate(config, detector, variables, dataset, workdir)


def predict_images(
  config: ConfigDict | None,
  workdir: str,
  images: Sequence[str],
  output: str | None = None,
  checkpoint: str | None = None,
) -> None:
  """Writes detections and pictures for images, folders of images, or lists of them, to `output`.

  Args:
    config: None: the checkpoint's own.
    workdir: folder of the run.
    images: files, folders, or text files with one path per line.
    output: a folder; None: `workdir`/predictions.
    checkpoint: None: the last one in `workdir`.
  """
  paths = list_images(images)
  variables, metadata = load_for_inference(checkpoint or workdir)
  config = config or metadata.config
  if are_placeholders(metadata.categories):
    logging.warning('%s does not know its categories: results have numbers for names', checkpoint or workdir)
  detector = build_detector(config.model, len(metadata.categories))
  output = output or os.path.join(workdir, 'predictions')
  file = predict(config, detector, variables, metadata.categories, image_batches(paths, config), paths, output)
  logging.info('predictions of %d images: %s', len(paths), file)
