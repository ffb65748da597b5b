"""What recorded runs with a loss for long tails knew of the classes, and which classes they drew."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from jaxdet.losses import federated
from jaxdet.models.detectors.query import QueryDetector
from jaxdet.parity.case import Case


def set_class_counts(model: ConfigDict, case: Case) -> None:
  """Sets `model.class_counts` to the recorded numbers of training objects of each class, if there are such."""
  if 'grw' not in case.meta:
    return
  draws = case.recipe.uniform('disalign|num_shots', (case.meta['num_classes'],))
  counts = np.floor(1 + 5000 * draws.astype(np.float64) ** 4).astype(int)
  with model.class_counts.ignore_type():
    model.class_counts.instances = tuple(counts.tolist())


def draw_as_recorded(detector, case: Case):
  """The detector, with a federated loss on the recorded classes: those of the largest of given numbers."""
  if 'fed_inds' not in case.meta:
    return detector
  numbers = case.recipe.uniform('fed', (case.meta['num_classes'],))
  if isinstance(detector, QueryDetector):

    def draw(labels, valid, counts, key, slots, power):
      return federated.fill_classes(labels, valid, numbers, slots)

    return dataclasses.replace(detector, sample_classes=draw)
  slots = detector.stages[0].settings.class_loss.slots

  def loss(logits, labels, valid, key, state):
    classes = federated.fill_classes(labels, valid, numbers, slots)
    return federated.federated_loss(logits, labels, valid, classes), state

  stages = [
    dataclasses.replace(stage, class_loss=dataclasses.replace(stage.class_loss, loss=loss)) for stage in detector.stages
  ]
  return dataclasses.replace(detector, stages=tuple(stages))
