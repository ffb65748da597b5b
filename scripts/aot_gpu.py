"""Compiles the training step and the prediction of a config for GPUs, on a machine without one.

  pip install jax-cuda13-pjrt jax-cuda13-plugin nvidia-cuda-nvcc nvidia-nvvm --no-deps   # of jax's own version
  python scripts/aot_gpu.py --config configs/lvis_maskrcnn.py --batch 12 [--gpus 8] [--json FILE] [--text FILE]

XLA compiles for an H100. Prints one line of JSON for each program: memory of a GPU; the bytes that its kernels read and
write, by network and named scope, with their time at `--bandwidth`, a lower bound; the loops whose rounds depend on
data, where a GPU waits for the host; and the communication of the GPUs in a step. Kernels are chosen without
measurements; on a GPU several would be timed. The exit status is 1 if a program does not compile, does not fit into a
GPU's memory, or communicates more than sums.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import sys
import time

TARGET = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_core: 233472 shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  device_memory_size: 84929347584 l2_cache_size: 52428800 memory_bandwidth: 3352320000000
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 15 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
MEMORY = 79  # GiB
COPY = 2650  # GB/s of a copy on an H100, see docs/benchmarks.md
LARGEST = 12  # kernels listed one by one


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', default='configs/lvis_maskrcnn.py', help='FILE[:VARIANT]')
  parser.add_argument('--gpus', type=int, default=1)
  parser.add_argument('--batch', type=int, default=0, help='images of a step over all GPUs; 0: two a GPU')
  parser.add_argument('--canvas', help="HEIGHTxWIDTH; the config's first if not given")
  parser.add_argument('--classes', type=int, default=0, help="the data set's if not given")
  parser.add_argument('--dtype', default='bfloat16', help='of activations')
  parser.add_argument('--programs', default='train,predict')
  parser.add_argument('--bandwidth', type=float, default=COPY, help='GB/s')
  parser.add_argument('--json', type=pathlib.Path, help='a file to which the lines are added')
  parser.add_argument('--text', type=pathlib.Path, help='a file for the text of the last compiled program')
  args = parser.parse_args()
  devices = h100s(args.gpus)
  fits = True
  for name in args.programs.split(','):
    report = compile_program(name, devices, args)
    fits &= not report['problems']
    print(json.dumps(report), flush=True)
    if args.json:
      with open(args.json, 'a') as file:
        file.write(json.dumps(report) + '\n')
  sys.exit(not fits)


def h100s(count: int) -> list:
  """Makes the devices of one host to compile for.

  Raises:
    ImportError: the compiler for GPUs is not installed.
  """
  if importlib.util.find_spec('jax_plugins') is None or importlib.util.find_spec('nvidia') is None:
    raise ImportError("XLA's compiler for GPUs is missing: install what the head of this script says")
  [nvidia, *_] = importlib.util.find_spec('nvidia').submodule_search_locations
  toolkit = next(iter(sorted(pathlib.Path(nvidia).glob('cu1*'))))
  flags = f'--xla_gpu_cuda_data_dir={toolkit} --xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false'
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'
  os.environ['PATH'] = f'{toolkit / "bin"}:{os.environ["PATH"]}'
  os.environ['JAX_PLATFORMS'] = 'cpu'  # there may be no GPU
  from jax.experimental import topologies

  shape = f'1x{count}x1'  # hosts, GPUs of a host
  return topologies.get_topology_desc(shape, platform='cuda', topology=shape, target_config=TARGET).devices


def compile_program(name: str, devices: list, args: argparse.Namespace) -> dict:
  """Compiles 'train' or 'predict' and reports on it; 'problems' is empty if all is well."""
  import aot_tpu

  from jaxdet.benchmark.moved_bytes import moved_bytes

  lowered, _, batch = aot_tpu.lower_for(devices, name, config_of(args), args.batch, args.dtype)
  report = {'config': args.config, 'program': name, 'gpus': len(devices), 'batch': batch, 'dtype': args.dtype}
  started = time.perf_counter()
  try:
    compiled = lowered.compile()
  except Exception as error:  # the compiler's own, also if the program does not fit into memory
    return report | {'problems': [' '.join(str(error).split())[:500]]}
  text, memory = compiled.as_text(), compiled.memory_analysis()
  if args.text:
    args.text.write_text(text)
  held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
  gib, exchanged = (held - memory.alias_size_in_bytes) / 2**30, aot_tpu.collectives(text)
  problems = [f'{gib:.1f} GiB do not fit into a GPU'] if gib > MEMORY else []
  if others := sorted(set(exchanged) - {'all-reduce'}):
    problems.append(f'the GPUs exchange more than sums: {", ".join(others)}')
  moved = moved_bytes(text)

  def in_gib(count: int) -> float:
    return round(count / 2**30, 2)

  parts = sorted(moved.forward | moved.backward, key=lambda part: -moved.forward[part] - moved.backward[part])
  by_part = {part: (in_gib(moved.forward[part]), in_gib(moved.backward[part])) for part in parts}
  return report | {
    'compile_s': round(time.perf_counter() - started, 1),
    'gib_a_gpu': round(gib, 2),
    'gib_temporary': in_gib(memory.temp_size_in_bytes),
    'gib_moved': in_gib(moved.total),
    'ms_at_bandwidth': round(moved.total / args.bandwidth / 1e6, 1),
    'gib_moved_by_part': {part: both for part, both in by_part.items() if max(both) > 0},
    'waits_for_the_host': dict(+moved.open_loops),
    'largest_kernels': [
      {'kernel': kernel, 'gib': in_gib(count), 'name': full}
      for (kernel, full), count in moved.kernels.most_common(LARGEST)
    ],
    'collectives': exchanged,
    'problems': problems,
  }


def config_of(args: argparse.Namespace):
  """Config with the requested canvas and number of classes."""
  from jaxdet.configuration import load_config
  from jaxdet.convert.stablehlo import parse_canvas

  config = load_config(args.config).copy_and_resolve_references().unlock()
  if args.canvas:
    config.data.canvases = (parse_canvas(args.canvas),)
  if args.classes:
    config.model.num_classes = args.classes
  return config.lock()


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
