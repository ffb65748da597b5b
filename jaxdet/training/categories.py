"""Checks that a model and a data set have the same categories, and sets class counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

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


def check_same_categories(of_checkpoint: Sequence[Category], of_dataset: Sequence[Category]) -> None:
  """Raises ValueError if a label has different categories, naming the first one.

  Placeholders match any categories of the same number.
  """
  if len(of_checkpoint) != len(of_dataset):
    raise ValueError(
      f'the checkpoint knows {len(of_checkpoint)} categories, the annotation file {len(of_dataset)}: '
      'evaluate on annotations with the categories that the model was trained on'
    )
  if tuple(of_checkpoint) == placeholders(len(of_checkpoint)):
    return
  for label, (ours, theirs) in enumerate(zip(of_checkpoint, of_dataset, strict=True)):
    if (ours.id, ours.name) != (theirs.id, theirs.name):
      raise ValueError(
        f"label {label} is '{ours.name}' (id {ours.id}) in the checkpoint, "
        f"and '{theirs.name}' (id {theirs.id}) in the annotation file"
      )
