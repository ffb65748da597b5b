"""Checks that a checkpoint and a data set have the same categories, and sets class counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from jaxdet.annotations.same_categories import Table, check_same_categories
from jaxdet.structures import Category


def set_num_classes(config: ConfigDict, categories: Sequence[Category]) -> None:
  """Sets `config.model.num_classes` to the size of the category table if it is None.

  Raises:
    ValueError: it is another number.
  """
  if config.model.num_classes is None:
    config.model.num_classes = len(categories)
  elif config.model.num_classes != len(categories):
    raise ValueError(
      f'config.model.num_classes is {config.model.num_classes}, and the annotation file has {len(categories)} '
      'categories: leave num_classes None, or take another annotation file'
    )


def set_class_counts(config: ConfigDict, counts: Mapping[str, Any]) -> None:
  """Sets missing values of `config.model.class_counts` from the training annotations.

  Args:
    config: the whole configuration.
    counts: `images` and `instances` of each class, and `num_images`.
  """
  if not config.model.class_counts.images:
    with config.model.class_counts.ignore_type():
      config.model.class_counts.update(counts)


def placeholders(count: int) -> tuple[Category, ...]:
  """Makes categories 'class 0', 'class 1', ... for weights without a known category table."""
  return tuple(Category(id=label + 1, name=f'class {label}') for label in range(count))


def are_placeholders(categories: Sequence[Category]) -> bool:
  """True if a checkpoint does not know its categories."""
  return tuple(categories) == placeholders(len(categories))


def check_checkpoint_categories(of_checkpoint: Table, of_dataset: Table, by: str, advice: str = '') -> None:
  """Checks that the labels of a checkpoint mean what they mean in a data set.

  A checkpoint that does not know its categories takes those of a data set with as many; the log says so.

  Args:
    by: data.compare_categories.
    advice: what else can be done, for the message.

  Raises:
    ValueError: a label has another category; the message names the first one.
  """
  if are_placeholders(of_checkpoint.categories) and len(of_checkpoint.categories) == len(of_dataset.categories):
    logging.warning(
      '%s does not know its categories: its labels are taken for those of %s, in the order of the ids',
      of_checkpoint.source,
      of_dataset.source,
    )
    return
  check_same_categories(of_checkpoint, of_dataset, by, ids_matter=False, advice=advice)
