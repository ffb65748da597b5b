"""Imports weights from a file of another program or of jaxdet."""

import functools
import json
import pathlib
from collections.abc import Container, Sequence
from typing import NamedTuple

import jax
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jaxdet.annotations import same_categories
from jaxdet.annotations.categories import read_listed
from jaxdet.annotations.files import find
from jaxdet.cli.jobs.exporting import HEADER
from jaxdet.convert import class_rows, frameworks, report, state_files
from jaxdet.convert.class_order import class_order
from jaxdet.convert.rules import import_state
from jaxdet.models.build import build_without_data
from jaxdet.models.initialize import initialize
from jaxdet.structures import Category
from jaxdet.training.categories import placeholders, set_num_classes
from jaxdet.training.checkpoint import Checkpoints, Metadata

REPORT = 'import_report.txt'


def import_checkpoint(
  config: ConfigDict | None,
  workdir: str,
  program: str,
  path: str,
  allow: Sequence[str] = (),
  order: str | None = None,
) -> None:
  """Writes the weights of another program's checkpoint as the first checkpoint of `workdir`, and prints a report.

  Every array must be used. Arrays that may be missing keep their initial values; so does everything but the backbone if
  the file has only a backbone.

  Args:
    config: of the file's model; None for jaxdet's own files, which contain it.
    workdir: a folder without checkpoints. The whole report goes into `import_report.txt`.
    program: a key of `frameworks.FRAMEWORKS`.
    path: of the file; see `state_files`.
    allow: patterns of upstream names that may be missing, unused or of the wrong shape.
    order: of the file's classes, see `class_order`; None: by their names if the file has them.

  Raises:
    ValueError: unused arrays; the file cannot be read, or names code; the config does not fit the file; its classes are
      not those of the data set.
  """
  folder = pathlib.Path(workdir) / 'checkpoints'
  if folder.exists() and any(folder.iterdir()):
    raise ValueError(f'{folder} holds checkpoints already: give another --workdir')
  state, class_names = state_files.read_content(path)
  listed = None
  if program == 'jaxdet':
    metadata = _own_metadata(path, config)
  elif config is None:
    raise ValueError(f'import needs the config of the model that {path} holds: --config FILE')
  else:
    listed = _listed_categories(config)
    metadata = Metadata(config, _categories(config, program, state, class_names, listed))
  model = metadata.config.model

  source = frameworks.open_source(program, state, model)
  like = frameworks.shapes(model)
  variables, result = import_state(source.state, like, source.rules)
  what = f'{path} as {program}' + (', backbone alone' if source.backbone_only else '')
  print(f'{what}\n{report.text(result, source)}')
  folder.parent.mkdir(parents=True, exist_ok=True)
  (folder.parent / REPORT).write_text(f'{what}\n{report.text(result, source, shown=None)}\n')
  if problems := report.problems(result, source, allow):
    counts = ', '.join(f'{len(names)} {kind} (as {names[0]})' for kind, names in problems.items())
    raise ValueError(
      f'{path} does not fit the model: {counts}. Change the config, or let names pass by --allow PATTERN; '
      f'{folder.parent / REPORT} has them all'
    )
  if not result.loaded:
    raise ValueError(f'{path}: nothing was loaded')
  if result.unset:
    print(f'{len(result.unset)} arrays of the model keep their initial values')
    variables = _filled(variables, initial_variables(metadata.config), result.unset)
  if listed and not source.backbone_only:
    variables = _with_sorted_classes(variables, model, set(result.unset), path, program, class_names, listed, order)

  checkpoints = Checkpoints(str(folder), keep=1)
  checkpoints.save_variables(variables, metadata)
  checkpoints.close()
  logging.info('wrote %s', folder / '0')


def initial_variables(config: ConfigDict) -> dict:
  """Initial variables of a config's detector."""
  detector = build_without_data(config.model, config.model.num_classes)
  # It runs once: optimising it would take longer than running it.
  init = jax.jit(functools.partial(initialize, detector), compiler_options={'xla_backend_optimization_level': 0})
  return jax.device_get(init(jax.random.key(config.seed)))


def _own_metadata(path: str, config: ConfigDict | None) -> Metadata:
  """Reads the metadata of jaxdet's own file; a given config replaces its config."""
  header = state_files.read_header(path) if path.endswith('.safetensors') else {}
  if HEADER not in header:
    raise ValueError(f'{path} is no file of export --to safetensors')
  metadata = Metadata.from_json(json.loads(header[HEADER]))
  if config is None:
    return metadata
  set_num_classes(config, metadata.categories)
  return Metadata(config, metadata.categories)


class _Listed(NamedTuple):
  """Categories in the order of an annotation file."""

  categories: tuple[Category, ...]
  path: str


def _listed_categories(config: ConfigDict) -> _Listed | None:
  """Reads the categories of the data set; None without an annotation file."""
  try:
    path = find(config.data.dir, (*config.data.val, *config.data.train))
  except FileNotFoundError:
    return None
  return _Listed(read_listed(path), path)


def _categories(
  config: ConfigDict, program: str, state: state_files.State, names: Sequence[str] | None, listed: _Listed | None
) -> tuple[Category, ...]:
  """Categories by label: those of the data set, or else those that the file names, or placeholders.

  Sets the config's number of classes. Where only the file has names, their ids are unknown, and the config is set to
  compare names alone.
  """
  if listed is not None:
    categories = tuple(sorted(listed.categories, key=lambda category: category.id))
    set_num_classes(config, categories)
    return categories
  in_file = frameworks.count_classes(program, state, config.model)
  count = config.model.num_classes or in_file or 1
  if names is not None and len(names) == count == in_file:
    logging.info('no annotation file in %s: categories have the names of the file, and no ids', config.data.dir)
    categories = tuple(Category(label + 1, name) for label, name in enumerate(names))
    with config.unlocked():
      config.data.compare_categories = same_categories.NAMES
  else:
    categories = placeholders(count)
    logging.warning(
      'no annotation file in %s: categories have no names (%d of them); an evaluation takes those of its data set',
      config.data.dir,
      count,
    )
  set_num_classes(config, categories)
  return categories


def _with_sorted_classes(
  variables: dict,
  model: ConfigDict,
  unset: Container[str],
  path: str,
  program: str,
  class_names: Sequence[str] | None,
  listed: _Listed,
  order: str | None,
) -> dict:
  """Sorts the class rows that were loaded by the labels of the data set; `unset` are paths that were not loaded."""
  problem = None
  try:
    old = class_order(path, program, class_names, listed.categories, listed.path, order)
    if old == sorted(old):
      return variables
  except ValueError as error:
    problem = error
  counts = {path: count for path, count in class_rows.class_arrays(model).items() if path not in unset}
  if not counts:  # no loaded array has classes, so that their order does not matter
    return variables
  if problem:
    raise problem
  return class_rows.sorted_classes(variables, old, counts)


def _filled(variables: dict, initial: dict, unset: Sequence[str]) -> dict:
  """Fills `variables` with initial values at the paths of `unset`."""
  flat, values = flatten_dict(variables, sep='/'), flatten_dict(initial, sep='/')
  flat |= {path: values[path] for path in unset}
  return {collection: {} for collection in variables} | unflatten_dict(flat, sep='/')
