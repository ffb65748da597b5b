"""Imports weights from a file of another program or of jaxdet."""

import functools
import json
import pathlib
from collections.abc import Sequence

import jax
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jaxdet.annotations.categories import read_categories
from jaxdet.annotations.files import find
from jaxdet.cli.jobs.exporting import HEADER
from jaxdet.convert import frameworks, report, state_files
from jaxdet.convert.rules import import_state
from jaxdet.models.build import build_without_data
from jaxdet.models.initialize import initialize
from jaxdet.structures import Category
from jaxdet.training.categories import placeholders, set_num_classes
from jaxdet.training.checkpoint import Checkpoints, Metadata

REPORT = 'import_report.txt'


def import_checkpoint(
  config: ConfigDict | None, workdir: str, program: str, path: str, allow: Sequence[str] = ()
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

  Raises:
    ValueError: unused arrays; the file cannot be read, or names code; the config does not fit the file.
  """
  folder = pathlib.Path(workdir) / 'checkpoints'
  if folder.exists() and any(folder.iterdir()):
    raise ValueError(f'{folder} holds checkpoints already: give another --workdir')
  state = state_files.read_state(path)
  if program == 'jaxdet':
    metadata = _own_metadata(path, config)
  elif config is None:
    raise ValueError(f'import needs the config of the model that {path} holds: --config FILE')
  else:
    metadata = Metadata(config, _categories(config, program, state))
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


def _categories(config: ConfigDict, program: str, state: state_files.State) -> tuple[Category, ...]:
  """Categories of the data set, or placeholders without a data set; sets the config's number of classes."""
  try:
    path = find(config.data.dir, (*config.data.val, *config.data.train))
  except FileNotFoundError:
    count = config.model.num_classes or frameworks.count_classes(program, state, config.model) or 1
    categories = placeholders(count)
    logging.warning(
      'no annotation file in %s: categories have no names (%d of them); an evaluation takes those of its data set',
      config.data.dir,
      count,
    )
  else:
    categories = read_categories(path)
  set_num_classes(config, categories)
  return categories


def _filled(variables: dict, initial: dict, unset: Sequence[str]) -> dict:
  """Fills `variables` with initial values at the paths of `unset`."""
  flat, values = flatten_dict(variables, sep='/'), flatten_dict(initial, sep='/')
  flat |= {path: values[path] for path in unset}
  return {collection: {} for collection in variables} | unflatten_dict(flat, sep='/')
