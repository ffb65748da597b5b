"""What the command line does to measure: which programs, what becomes of the figures."""

import shlex
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict

from jaxdet.command_line import config_path

DTYPE = flags.DEFINE_list('dtype', [], "Of activations in bench: float32, bfloat16 or both; the config's if not given.")
TASKS = flags.DEFINE_list('tasks', ['train', 'predict'], 'What bench measures.')
STAGES = flags.DEFINE_bool('stages', False, 'Take the programs of bench apart as well, step by step.')
VERSUS = flags.DEFINE_enum('vs', None, ['torchvision'], 'Whose detector bench measures beside the config.')
MODES = flags.DEFINE_list('modes', ['eager', 'channels_last', 'amp', 'compile'], 'Of torch; + joins several.')
TORCH_PYTHON = flags.DEFINE_string('torch_python', None, 'Interpreter that has torchvision; this one if not given.')
TORCHVISION_MODEL = flags.DEFINE_string('torchvision_model', None, "By the config's detector if not given.")
OBJECTS = flags.DEFINE_integer('objects', None, 'Of every image of bench; 13 if not given, as in LVIS.', lower_bound=1)
REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed calls of every program of bench, at least.', lower_bound=1)
JSON = flags.DEFINE_string('json', None, 'File to which bench adds a line for every measurement.')
DOCS = flags.DEFINE_string('docs', None, 'Page in which bench writes the tables of --json between its markers.')
IMAGES, MANY = 2, 13  # of a batch, and objects of an image, if not given


def bench(config: ConfigDict | None, images: int | None, canvas: str | None) -> None:
  """Measures a config, each program in a process of its own, and prints tables; writes --json and --docs.

  Args:
    config: None: nothing is measured, --docs is written from --json.
    images: of a batch.
    canvas: 'HEIGHTxWIDTH'; None: the config's first.

  Raises:
    ValueError: on flags that make no sense, a dtype or mode that there is not, a missing torch.
  """
  # None of these touches a device, which a process below may want for itself.
  from jaxdet.benchmark import page, records, tables

  if DOCS.value and not JSON.value:
    raise ValueError('--docs writes what --json holds: give --json FILE')
  if config is None and not DOCS.value:
    raise ValueError('bench needs a config: --config configs/lvis_maskrcnn.py:mini, or --docs FILE.md --json FILE')
  if config is not None:
    found = []
    for record in _measurements(config, images or IMAGES, canvas):
      found.append(record)
      if JSON.value:
        records.append_record(JSON.value, record)
    print(tables.title(found[0]))
    for name, table in {**tables.program_tables(found), **tables.stage_tables(found)}.items():
      print(f'\n{name}\n{tables.aligned(table)}')
    for choice in tables.choices(found):
      print(f'- {choice}')
  if DOCS.value:
    page.write_page(DOCS.value, records.read_records(JSON.value))


def _measurements(config: ConfigDict, images: int, canvas: str | None) -> Iterator[dict[str, Any]]:
  """A record of each program as soon as it is measured; all that can be wrong with the flags is found first."""
  from jaxdet.benchmark import counterparts, programs, records, stages, torchvision_side
  from jaxdet.benchmark.isolation import isolated
  from jaxdet.benchmark.workload import make_workload
  from jaxdet.convert.stablehlo import parse_canvas

  if unknown := [task for task in TASKS.value if task not in programs.PROGRAMS]:
    raise ValueError(f"unknown task '{unknown[0]}' in --tasks: choose of {', '.join(programs.PROGRAMS)}")
  size = parse_canvas(canvas) if canvas else tuple(config.data.canvases[0])
  name, objects = config_path(sys.argv), OBJECTS.value or min(MANY, config.data.max_objects)
  workloads = [
    make_workload(name, config, dtype, images, size, objects, REPEATS.value)
    for dtype in DTYPE.value or [config.model.dtype]
  ]
  side = python = None
  if VERSUS.value:
    torchvision_side.check_modes(MODES.value)
    side = counterparts.counterpart(workloads[0].config, TORCHVISION_MODEL.value)
    python = torchvision_side.find_torch(TORCH_PYTHON.value)
  common = {
    **records.surroundings(shlex.join(['python', '-m', 'jaxdet.main', *sys.argv[1:]])),
    'config': name,
    'images': images,
    'canvas': size,
    'objects': objects,
    'classes': workloads[0].config.model.num_classes,
  }

  def record(kind: str, program: str, task: str, mode: str, figures: dict[str, Any]) -> dict[str, Any]:
    versions = common['versions'] | figures.pop('versions', {})
    time = figures.get('error') or f'{figures["step_s"] or figures["forward_s"]:.4f} s'
    logging.info('%s %s, %s %s: %s', program, mode, task, kind, time)
    of_what = {'kind': kind, 'program': program, 'task': task, 'mode': mode}
    return {**of_what, **common, 'versions': versions, **figures}

  for workload in workloads:
    for task in TASKS.value:
      yield record('program', 'jaxdet', task, workload.dtype, isolated(programs.measure, workload, task))
      if STAGES.value:
        yield record('stages', 'jaxdet', task, workload.dtype, isolated(stages.measure_stages, workload, task))
  for mode in MODES.value if side else []:
    for task in TASKS.value:
      figures = torchvision_side.measure(workloads[0], side, task, mode, python)
      more = {'model': side.model, 'choices': counterparts.CHOICES}
      yield record('program', 'torchvision', task, mode, {**figures, **more})
