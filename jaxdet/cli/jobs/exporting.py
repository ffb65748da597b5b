"""Exports a checkpoint for another program, or its prediction as a program."""

import json
import pathlib

import jax
from absl import logging
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.configuration import detection_canvases
from jaxdet.convert import frameworks, stablehlo, state_files
from jaxdet.models.build import build_detector
from jaxdet.training.checkpoint import Metadata, load_for_inference

HEADER = 'jaxdet'  # key in the header of .safetensors: a checkpoint's metadata as JSON


def export_checkpoint(workdir: str, program: str, output: str, checkpoint: str | None = None) -> None:
  """Writes a checkpoint as a file of another program, with its names and layouts.

  Args:
    workdir: folder of the run.
    program: 'safetensors' for jaxdet's own names, which `import --from jaxdet` reads, or a key of FRAMEWORKS.
    output: path of the file; its suffix chooses the format, see `state_files`.
    checkpoint: None: the last one in `workdir`.
  """
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
  workdir: str, output: str, batch_size: int, canvas: str | None, checkpoint: str | None = None
) -> None:
  """Writes the detector as one program that JAX runs without jaxdet, and its description, `output`.json.

  Args:
    workdir: folder of the run.
    output: path of the file.
    batch_size: images per call of the program.
    canvas: 'HEIGHTxWIDTH' in pixels; None: the config's first.
    checkpoint: None: the last one in `workdir`.
  """
  variables, metadata = load_for_inference(checkpoint or workdir)
  size = stablehlo.parse_canvas(canvas) if canvas else tuple(detection_canvases(metadata.config.data)[0])
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
