"""Finds the class of an imported file that each label stands for.

Here a label is a position in the table of categories sorted by id, as in Detectron2. In mmdetection it is a position in
the list of the annotation file that a model was trained on; its checkpoints keep the names of the classes in this
order.
"""

import collections
from collections.abc import Sequence

from absl import logging

from jaxdet.structures import Category

NAMES, LISTED, IDS = 'names', 'listed', 'ids'  # values of --class_order
BY_LIST = ('mmdet',)  # programs whose labels are positions in the list of the annotation file


def class_order(
  path: str,
  program: str,
  names: Sequence[str] | None,
  listed: Sequence[Category],
  annotations: str,
  chosen: str | None = None,
) -> list[int]:
  """The file's class of each label.

  Args:
    path: of the file of weights, for messages.
    program: that wrote it.
    names: of its classes, in the file's order; None: it does not have them.
    listed: the categories in the order of the annotation file.
    annotations: path of the annotation file, for messages.
    chosen: 'names': classes are found by name; 'listed': they are in the order of the annotation file; 'ids': they are
      in the order of the ids. None: by name if the file has names; else by id, if the program has no other order.

  Raises:
    ValueError: the names are not those of the annotation file, or the order is not known; the message has the first
      difference and the flag that decides.
  """
  by_id = sorted(listed, key=lambda category: category.id)
  as_listed = [list(listed).index(category) for category in by_id]
  if chosen == IDS:
    return list(range(len(by_id)))
  if chosen == LISTED:
    return as_listed
  if names is None and chosen == NAMES:
    raise ValueError(f'{path} does not name its classes: give --class_order {LISTED} or {IDS}')
  if names is None:
    if program in BY_LIST:
      _check_one_order(path, by_id, listed, annotations)
    return list(range(len(by_id)))
  _check_names(path, names, by_id, annotations)
  order = [list(names).index(category.name) for category in by_id]
  if order != list(range(len(order))):
    label = next(label for label, old in enumerate(order) if label != old)
    logging.info(
      "%s: classes are sorted by name: '%s' is its class %d, and label %d of %s",
      path,
      by_id[label].name,
      order[label],
      label,
      annotations,
    )
  return order


def _check_one_order(path: str, by_id: Sequence[Category], listed: Sequence[Category], annotations: str) -> None:
  """Raises ValueError if the list of an annotation file is not in the order of its ids."""
  for label, (sorted_, first) in enumerate(zip(by_id, listed, strict=True)):
    if sorted_ != first:
      moved = sum(a != b for a, b in zip(by_id, listed, strict=True))
      raise ValueError(
        f'{path} does not name its classes, and {annotations} lists its categories in another order than that of their '
        f'ids: place {label} of the list is {_shown(first)}, by id it is {_shown(sorted_)}; {moved} of {len(by_id)} '
        f'places differ. Give --class_order {LISTED} if the model was trained with this list, as mmdetection counts, '
        f'or --class_order {IDS}'
      )
  logging.info('%s does not name its classes: they are taken to be in the order of %s', path, annotations)


def _check_names(path: str, names: Sequence[str], by_id: Sequence[Category], annotations: str) -> None:
  """Raises ValueError unless each name is a category's, and each category's name is there once."""
  known = [category.name for category in by_id]
  anyway = f'if the order is the same, give --class_order {LISTED} or {IDS}'
  for whose, each in ((path, names), (annotations, known)):
    name, times = collections.Counter(each).most_common(1)[0] if each else ('', 1)
    if times > 1:
      raise ValueError(f'{whose} has {times} classes named {name!r}, so that names do not decide: {anyway}')
  if len(names) != len(known):
    raise ValueError(
      f'{path} names {len(names)} classes, and {annotations} has {len(known)}, though the arrays fit: {anyway}'
    )
  strangers = [label for label, name in enumerate(names) if name not in known]
  if strangers:
    label = strangers[0]
    raise ValueError(
      f'{path} and {annotations} have different categories: class {label} is {names[label]!r} in the first, which is '
      f'no category of the second, where label {label} is {_shown(by_id[label])}; {len(strangers)} of {len(names)} '
      f'names are not there. Names are compared exactly; {anyway}'
    )


def _shown(category: Category) -> str:
  return f'{category.name!r} (id {category.id})'
