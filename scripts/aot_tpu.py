"""Compiles the training step and the prediction of a config for a TPU slice, on a machine without a TPU.

  pip install 'jaxdet[tpu]'
  python scripts/aot_tpu.py --config configs/lvis_maskrcnn.py --topology v5e:16x16 --batch 256 [--json FILE]

libtpu compiles for the chips of a topology (v5e:2x2 is one host, v5e:16x16 a pod). Prints one line of JSON for each
program: memory of a chip, operations, bytes, the compiler's estimated time in total and by part, and the communication
of the chips in a step. The exit status is 1 if a program does not compile, does not fit into a chip's memory, or
communicates more than sums (gathered activations).
"""

import argparse
import json
import math
import os
import pathlib
import re
import sys
import tempfile
import time

from jaxdet.models import forward

HBM = {'v4': 16, 'v5e': 16, 'v5p': 95, 'v6e': 32}  # GiB per device: a chip, for v4 one of a chip's two cores
GHZ = {'v4': 1.05, 'v5e': 1.5, 'v5p': 1.75, 'v6e': 1.75}  # frequency of the compiler's cycles
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 'f32': 4, 's32': 4, 'u32': 4, 'f64': 8}
# A line of a compiled program's text: an operation's result and name. A long tuple has comments ('/*index=5*/').
KINDS = ('all-reduce', 'all-gather', 'all-to-all', 'collective-permute', 'reduce-scatter', 'collective-broadcast')
COLLECTIVE = re.compile(rf'^\s*(?:ROOT )?\S+ = (.*?) ({"|".join(KINDS)})(?:-start)?\(', re.MULTILINE)
ARRAY = re.compile(r'(\w+)\[([\d,]*)\]')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', default='configs/lvis_maskrcnn.py', help='FILE[:VARIANT]')
  parser.add_argument('--topology', default='v5e:16x16', help='as v4:4x4x4, v5e:2x2, v6e:16x16')
  parser.add_argument('--batch', type=int, default=0, help='images of a step over all chips; 0: two a chip')
  parser.add_argument('--dtype', default='bfloat16', help='of activations')
  parser.add_argument('--programs', default='train,predict')
  parser.add_argument('--json', type=pathlib.Path, help='a file to which the lines are added')
  args = parser.parse_args()
  if args.topology.partition(':')[0] not in HBM:
    sys.exit(f"unknown chip in --topology '{args.topology}': choose one of {', '.join(HBM)}")
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')  # there may be no TPU
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')

  fits = True
  for name in args.programs.split(','):
    report = compile_program(name, args)
    fits &= not report['problems']
    print(json.dumps(report), flush=True)
    if args.json:
      with open(args.json, 'a') as file:
        file.write(json.dumps(report) + '\n')
  sys.exit(not fits)


def compile_program(name: str, args: argparse.Namespace) -> dict:
  """Compiles 'train' or 'predict' and reports on it; 'problems' is empty if all is well."""
  started = time.perf_counter()
  lowered, chips, batch = lower(name, args)
  report = {
    'config': args.config,
    'topology': args.topology,
    'program': name,
    'chips': chips,
    'batch': batch,
    'dtype': args.dtype,
    'trace_s': round(time.perf_counter() - started, 1),
  }
  started = time.perf_counter()
  try:
    compiled, text = compile_to_text(lowered)
  except Exception as error:  # the compiler's own, also if the program does not fit into memory
    return report | {'problems': [' '.join(str(error).split())[:500]]}
  chip = args.topology.partition(':')[0]
  memory, cost, exchanged = compiled.memory_analysis(), compiled.cost_analysis(), collectives(text)
  held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
  gib = (held - memory.alias_size_in_bytes + memory.generated_code_size_in_bytes) / 2**30
  problems = []
  if gib > HBM[chip]:
    problems.append(f'{gib:.1f} GiB do not fit into a chip')
  if others := sorted(set(exchanged) - {'all-reduce'}):
    problems.append(f'the chips exchange more than sums: {", ".join(others)}')
  return report | {
    'compile_s': round(time.perf_counter() - started, 1),
    'gib_a_chip': round(gib, 2),
    'gib_arguments': round(memory.argument_size_in_bytes / 2**30, 2),
    'gib_temporary': round(memory.temp_size_in_bytes / 2**30, 2),
    'tflops_a_chip': round(cost.get('flops', math.nan) / 1e12, 3),
    'gib_accessed_a_chip': round(cost.get('bytes accessed', math.nan) / 2**30, 1),
    **expected_time(text, GHZ[chip]),
    'collectives': exchanged,
    'problems': problems,
  }


def compile_to_text(lowered) -> tuple:
  """Compiles a program; also returns the text that the compiler writes: jax cannot read back all of a v6e's."""
  with tempfile.TemporaryDirectory() as folder:
    compiled = lowered.compile(compiler_options={'xla_dump_to': folder, 'xla_dump_hlo_as_text': True})
    [file] = pathlib.Path(folder).glob('*.after_codegen.txt')
    return compiled, file.read_text()


def expected_time(text: str, ghz: float) -> dict:
  """Milliseconds by the compiler's estimate: in total, and forward and backward of each part."""
  from jaxdet.benchmark.estimated_cycles import estimated_cycles

  estimate = estimated_cycles(text)

  def ms(cycles: int) -> float:
    return round(cycles / ghz / 1e6, 2)

  parts = {part: (ms(estimate.forward[part]), ms(estimate.backward[part])) for part in estimate.by_cost()}
  return {
    'expected_ms': ms(estimate.total),
    'expected_ms_of_parts': {part: times for part, times in parts.items() if max(times) > 0},
    'loops_counted_once': dict(+estimate.open_loops),
  }


def lower(name: str, args: argparse.Namespace):
  """Lowers a program; returns (lowered program, number of chips, images over all chips)."""
  from jax.experimental import topologies

  from jaxdet.configuration import load_config

  topology = topologies.get_topology_desc(platform='tpu', topology_name=args.topology)
  return lower_for(topology.devices, name, load_config(args.config), args.batch, args.dtype)


def lower_for(devices: list, name: str, config, batch_size: int, dtype: str):
  """Lowers a program as `lower`, for devices of any kind; batch size 0: two images per device."""
  import jax

  from jaxdet import sharding
  from jaxdet.models.build import build_detector
  from jaxdet.training.optimizer import build_optimizer
  from jaxdet.training.state import abstract_state
  from jaxdet.training.step import make_train_step
  from jaxdet.zoo.model_size import num_classes

  mesh = jax.sharding.Mesh(devices, (sharding.DATA,), axis_types=(jax.sharding.AxisType.Auto,))
  config = config.copy_and_resolve_references().unlock()
  config.train.batch_size = batch_size or 2 * mesh.size
  sharding.check_batch_size(config.train.batch_size, config.train.accumulate, mesh)
  config.model.dtype = dtype
  config.model.num_classes = num_classes(config)
  detector = build_detector(config.model, config.model.num_classes)
  state = abstract_state(config, detector, mesh)
  batch = abstract_batch(config, sharding.over_batch(mesh), objects=name == 'train')
  if name == 'train':
    step = make_train_step(config, detector, build_optimizer(config, state.params), mesh)
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    return step.lower(state, batch, key), mesh.size, config.train.batch_size

  def predict(variables, batch):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return forward.predict(detector, variables, batch)

  program = jax.jit(predict, out_shardings=sharding.over_batch(mesh))
  return program.lower(state.variables, batch), mesh.size, config.train.batch_size


def abstract_batch(config, sharding, objects: bool):
  """Shapes of a batch on the first canvas, with or without objects."""
  import jax
  import jax.numpy as jnp

  from jaxdet.structures import Batch, InstanceMasks, Objects

  images, (height, width), data = config.train.batch_size, config.data.canvases[0], config.data
  rows, cells, vertices = data.max_objects if objects else 0, data.mask_size, data.max_vertices

  def array(dtype, *shape: int):
    return jax.ShapeDtypeStruct((images, *shape), dtype, sharding=sharding)

  masks = None
  if cells:
    masks = InstanceMasks(array(jnp.uint8, rows, cells, cells // 8), array(jnp.float32, rows, 4))
    if objects and vertices:
      outlines, parts = array(jnp.float32, rows, vertices, 2), array(jnp.int8, rows, vertices)
      masks = masks.replace(outlines=outlines, outline_parts=parts)
  return Batch(
    image=array(jnp.uint8, height, width, 3),
    image_size=array(jnp.int32, 2),
    original_size=array(jnp.int32, 2),
    index=array(jnp.int32),
    valid=array(bool),
    objects=Objects(array(jnp.float32, rows, 4), array(jnp.int32, rows), array(bool, rows), masks),
  )


def collectives(text: str) -> dict[str, dict]:
  """Counts each kind of collective in a compiled program, and the bytes of its results on a chip."""
  found = {}
  for made, kind in COLLECTIVE.findall(text):
    entry = found.setdefault(kind, {'count': 0, 'bytes': 0})
    entry['count'] += 1
    for dtype, shape in ARRAY.findall(made):
      entry['bytes'] += BYTES.get(dtype, 4) * math.prod(int(side) for side in shape.split(',') if side)
  return found


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
