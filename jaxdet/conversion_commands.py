"""Checkpoints of other programs in and out, as the command line does it."""

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
from jaxdet.convert import frameworks, report, stablehlo, state_files
from jaxdet.convert.rules import import_state
from jaxdet.models.build import build_detector, build_without_data
from jaxdet.models.initialize import initialize
from jaxdet.structures import Category
from jaxdet.training.categories import placeholders, set_num_classes
from jaxdet.training.checkpoint import Checkpoints, Metadata, load_for_inference

HEADER = 'jaxdet'  # of .safetensors: a checkpoint's metadata as JSON
REPORT = 'import_report.txt'


def import_checkpoint(
  config: ConfigDict | None, workdir: str, program: str, files: Sequence[str], allow: Sequence[str] = ()
) -> None:
  """Writes the weights of another program's checkpoint as the first checkpoint of `workdir`, and prints a report.

  Every array must find its place. What may be missing keeps the values with which training would begin; so does
  everything but the backbone where the file holds a backbone alone.

  Args:
    config: of the model that the file holds; None for jaxdet's own files, which know theirs.
    workdir: a folder without checkpoints. The whole report goes into `import_report.txt`.
    program: a key of `frameworks.FRAMEWORKS`.
    files: one path; see `state_files`.
    allow: patterns of upstream names that may be missing, unused or of the wrong shape.

  Raises:
    ValueError: arrays without a place; the file cannot be read, or wants to run code; the config is not its.
  """
  if len(files) != 1:
    raise ValueError(f'import takes one file, not {len(files)}')
  (path,) = files
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
  """The random variables of a config's detector."""
  detector = build_without_data(config.model, config.model.num_classes)
  # It runs once: to compile it well would take longer than to run it.
  init = jax.jit(functools.partial(initialize, detector), compiler_options={'xla_backend_optimization_level': 0})
  return jax.device_get(init(jax.random.key(config.seed)))


def export_checkpoint(workdir: str, program: str, output: str | None, checkpoint: str | None = None) -> None:
  """Writes a checkpoint as a file of another program's, with the names and layouts that its own model has.

  Args:
    workdir: folder of the run.
    program: 'safetensors' for jaxdet's own names, which `import --from jaxdet` reads, or a key of FRAMEWORKS.
    output: path of the file; its suffix says the form, see `state_files`.
    checkpoint: None: the last one in `workdir`.
  """
  if not output:
    raise ValueError('export needs the file to write: --output FILE')
  variables, metadata = load_for_inference(checkpoint or workdir)
  variables = jax.device_get(variables)
  if program == 'safetensors':
    if not output.endswith('.safetensors'):
      raise ValueError(f'{output}: give a name that ends in .safetensors')
    header = {HEADER: json.dumps(metadata.to_json())}
    state_files.write_state(output, flatten_dict(variables, sep='/'), header)
  else:
    state_files.write_state(output, frameworks.export(program, variables, model_of(metadata)))
  logging.info('wrote %s', output)


def export_program(
  workdir: str, output: str | None, batch_size: int, canvas: str | None, checkpoint: str | None = None
) -> None:
  """Writes the detector as one program that JAX runs without jaxdet, and `output`.json: what its user must know.

  Args:
    workdir: folder of the run.
    output: path of the file.
    batch_size: images that the program takes.
    canvas: 'HEIGHTxWIDTH' in pixels; None: the config's first.
    checkpoint: None: the last one in `workdir`.
  """
  if not output:
    raise ValueError('export needs the file to write: --output FILE')
  variables, metadata = load_for_inference(checkpoint or workdir)
  size = stablehlo.parse_canvas(canvas) if canvas else tuple(metadata.config.data.canvases[0])
  model = model_of(metadata)
  program = stablehlo.export_predict(
    build_detector(model, model.num_classes), jax.device_get(variables), batch_size, size
  )
  path = pathlib.Path(output)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(program)
  about = stablehlo.description(metadata.categories, metadata.config.data.resize)
  pathlib.Path(f'{output}.json').write_text(json.dumps(about, indent=1))
  logging.info('wrote %s: %d images of %d x %d pixels', output, batch_size, *size)


def model_of(metadata: Metadata) -> ConfigDict:
  """`config.model` of a checkpoint, with the number of classes."""
  model = ConfigDict(metadata.config.model.to_dict())
  model.num_classes = len(metadata.categories)
  return model


def _own_metadata(path: str, config: ConfigDict | None) -> Metadata:
  """What a file of jaxdet's own knows of itself; a given config takes the place of its own."""
  header = state_files.read_header(path) if path.endswith('.safetensors') else {}
  if HEADER not in header:
    raise ValueError(f'{path} is no file of export --to safetensors')
  metadata = Metadata.from_json(json.loads(header[HEADER]))
  if config is None:
    return metadata
  set_num_classes(config, metadata.categories)
  return Metadata(config, metadata.categories)


def _categories(config: ConfigDict, program: str, state: state_files.State) -> tuple[Category, ...]:
  """The data set's categories, or, without a data set, placeholders; sets the config's number of classes."""
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
  """`variables` with initial values at the paths of `unset`."""
  flat, values = flatten_dict(variables, sep='/'), flatten_dict(initial, sep='/')
  flat |= {path: values[path] for path in unset}
  return {collection: {} for collection in variables} | unflatten_dict(flat, sep='/')
