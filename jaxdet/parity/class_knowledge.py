"""Sets the class counts and sampled classes of recorded runs with losses for long tails."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from jaxdet.losses import federated
from jaxdet.models.detectors.query import QueryDetector
from jaxdet.parity.case import Case


def set_class_counts(model: ConfigDict, case: Case) -> None:
  """Sets `model.class_counts` to the recorded numbers of training objects per class, if there are any."""
  if 'grw' not in case.meta:
    return
  draws = case.recipe.uniform('disalign|num_shots', (case.meta['num_classes'],))
  counts = np.floor(1 + 5000 * draws.astype(np.float64) ** 4).astype(int)
  with model.class_counts.ignore_type():
    model.class_counts.instances = tuple(counts.tolist())


def draw_as_recorded(detector, case: Case):
  """Returns the detector with a federated loss on the recorded classes, those with the largest recorded numbers."""
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
