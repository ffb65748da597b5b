"""Runs benchmarks, each program in its own process, and writes the results."""

import shlex
from collections.abc import Iterator
from typing import Any

from absl import logging

from jaxdet.benchmark import counterparts, page, programs, records, stages, tables, torchvision_side
from jaxdet.benchmark.isolation import isolated
from jaxdet.benchmark.workload import make_workload
from jaxdet.cli.bench import BenchFlags
from jaxdet.cli.parsing import split_config
from jaxdet.convert.stablehlo import parse_canvas

MANY = 13  # default number of objects per image


def bench(flags: BenchFlags) -> None:
  """Measures a config, each program in its own process, and prints tables; writes --json and --docs.

  Raises:
    ValueError: invalid flags, an unknown dtype or mode, or no torch.
  """
  if flags.docs and not flags.json:
    raise ValueError('--docs writes what --json holds: give --json FILE')
  if flags.config is None and not flags.docs:
    raise ValueError('bench needs a config: --config configs/lvis_maskrcnn.py:mini, or --docs FILE.md --json FILE')
  if flags.config is not None:
    found = []
    for record in _measurements(flags):
      found.append(record)
      if flags.json:
        records.append_record(flags.json, record)
    print(tables.title(found[0]))
    for name, table in {**tables.program_tables(found), **tables.stage_tables(found)}.items():
      print(f'\n{name}\n{tables.aligned(table)}')
    for choice in tables.choices(found):
      print(f'- {choice}')
  if flags.docs:
    page.write_page(flags.docs, records.read_records(flags.json))


def _measurements(flags: BenchFlags) -> Iterator[dict[str, Any]]:
  """Yields a record of each program as soon as it is measured; checks all flags first."""
  if unknown := [task for task in flags.tasks if task not in programs.PROGRAMS]:
    raise ValueError(f"unknown task '{unknown[0]}' in --tasks: choose of {', '.join(programs.PROGRAMS)}")
  config, (name, _) = flags.config, split_config(flags.words)
  size = parse_canvas(flags.canvas) if flags.canvas else tuple(config.data.canvases[0])
  objects = flags.objects or min(MANY, config.data.max_objects)
  workloads = [
    make_workload(name, config, dtype, flags.batch_size, size, objects, flags.repeats)
    for dtype in flags.dtype or [config.model.dtype]
  ]
  side = python = None
  if flags.vs:
    torchvision_side.check_modes(flags.modes)
    side = counterparts.counterpart(workloads[0].config, flags.torchvision_model)
    python = torchvision_side.find_torch(flags.torch_python)
  common = {
    **records.surroundings(shlex.join(['python', '-m', 'jaxdet.main', *flags.words])),
    'config': name,
    'images': flags.batch_size,
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
    for task in flags.tasks:
      yield record('program', 'jaxdet', task, workload.dtype, isolated(programs.measure, workload, task))
      if flags.stages:
        yield record('stages', 'jaxdet', task, workload.dtype, isolated(stages.measure_stages, workload, task))
  for mode in flags.modes if side else []:
    for task in flags.tasks:
      figures = torchvision_side.measure(workloads[0], side, task, mode, python)
      more = {'model': side.model, 'choices': counterparts.CHOICES}
      yield record('program', 'torchvision', task, mode, {**figures, **more})
