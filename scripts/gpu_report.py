"""Measures jaxdet on one GPU in a few minutes, the most important figures first.

  python scripts/gpu_report.py --json report.json [--docs PAGE] [--seconds 460] [--tiny] [--only PATTERN]

Every line is written as soon as it is measured, so that an interrupted run loses nothing; no line is begun after
`--seconds`. Lines: peak of a matrix product and of memory copies; training steps and predictions of Mask R-CNN,
RetinaNet and Deformable DETR in bfloat16, with torchvision's (autocast, channels_last) if it is installed; a profile of
the Mask R-CNN step by network and named scope; RoIAlign, suppression, top-k and bilinear reads alone. It needs jax,
flax, optax, ml_collections and numpy, but no TensorFlow and no network connection. `--tiny` runs every line on small
shapes, also on a CPU.
"""

import argparse
import fnmatch
import json
import os
import pathlib
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')  # torchvision's processes need memory too

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from jaxdet.benchmark import counterparts, programs, records, torchvision_side  # noqa: E402
from jaxdet.benchmark.gpu_page import write_gpu_page  # noqa: E402
from jaxdet.benchmark.kernel_profile import profile  # noqa: E402
from jaxdet.benchmark.matmul import peak_flops  # noqa: E402
from jaxdet.benchmark.timing import timed  # noqa: E402
from jaxdet.benchmark.workload import make_workload  # noqa: E402
from jaxdet.configuration import load_config  # noqa: E402
from jaxdet.flops import matrix_flops  # noqa: E402

LVIS = 'configs/lvis_maskrcnn.py'
COCO = 'configs/detectron2/mask_rcnn.py'
RETINANET = 'configs/detectron2/retinanet.py:backbone=x50_32x4d,weights=torchvision'
DEFORMABLE = 'configs/mmdet/deformable_detr.py'
CANVAS, SQUARE = (800, 1344), (800, 800)
OBJECTS, REPEATS = 13, 10
VERSUS = 'amp+channels_last'

# (task, config, images, canvas, classes or None for the data set's own, True: measure torchvision too)
PROGRAMS = (
  ('train', LVIS, 8, CANVAS, None, True),
  ('predict', LVIS, 8, CANVAS, None, True),
  ('train', COCO, 8, CANVAS, None, True),
  ('train', RETINANET, 32, SQUARE, 264, False),
  ('train', DEFORMABLE, 2, CANVAS, None, False),
  ('predict', COCO, 1, CANVAS, None, True),
  ('train', LVIS, 12, CANVAS, None, True),
  ('train', LVIS, 2, CANVAS, None, False),
  ('predict', DEFORMABLE, 2, CANVAS, None, False),
  ('predict', RETINANET, 32, SQUARE, 264, False),
  ('predict', COCO, 8, CANVAS, None, False),
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--json', required=True, help='file to which a line is added for every measurement')
  parser.add_argument('--seconds', type=float, default=460, help='after which no line is begun')
  parser.add_argument('--tiny', action='store_true', help='small shapes')
  parser.add_argument('--docs', help='page in which the tables of --json are put between its markers (gpu: begin, end)')
  parser.add_argument('--only', default='*', help="glob of lines, as 'train*' or 'op *'")
  args = parser.parse_args()
  started = time.perf_counter()
  common = records.surroundings('python ' + ' '.join(['scripts/gpu_report.py', *sys.argv[1:]]))
  common['device'] = {'backend': jax.default_backend(), 'kind': jax.devices()[0].device_kind}
  for name, measure in lines(args.tiny):
    spent = time.perf_counter() - started
    if not fnmatch.fnmatch(name, args.only) or spent > args.seconds:
      continue
    try:
      figures = measure()
    except Exception as error:  # of any kind, so that the other lines are still measured
      traceback.print_exc()
      figures = {'error': f'{type(error).__name__}: {" ".join(str(error).split())[:300]}'}
    took = time.perf_counter() - started - spent
    records.append_record(args.json, {'line': name, 'took_s': took, **figures, **common})
    print(f'{name}: {shown(figures)} ({took:.0f} s)', flush=True)
  if args.docs:
    write_gpu_page(args.docs, args.json)


def lines(tiny: bool):
  """Yields (name, measurement) in order of importance."""
  yield 'peak', lambda: peaks(tiny)
  for position, (task, config, images, canvas, classes, versus) in enumerate(PROGRAMS):
    if tiny:
      images, canvas = min(images, 2), (64, 96)
    name = f'{task} {config} {images} x {canvas[0]}x{canvas[1]}'
    workload = workload_of(config, images, canvas, classes, tiny)
    yield name, lambda w=workload, t=task, p=position: program(w, t, with_profile=p == 0)
    if versus:
      yield f'torchvision {name}', lambda w=workload, t=task: of_torchvision(w, t)
    if position == 3:
      yield from single_operations(tiny)


def workload_of(config: str, images: int, canvas: tuple[int, int], classes: int | None, tiny: bool):
  """Makes a workload in bfloat16 for a config of the checkout."""
  settings = load_config(str(ROOT / config)).unlock()
  if classes:
    settings.model.num_classes = classes
  if tiny:
    settings.model.num_classes = 5
    settings.model.backbone.update(depth=18, stem_width=8, groups=1)
    settings.model.neck.channels = 32
  settings.lock()
  objects = 3 if tiny else OBJECTS
  return make_workload(config, settings, 'bfloat16', images, canvas, objects, 1 if tiny else REPEATS)


def program(workload, task: str, with_profile: bool) -> dict:
  """Measures time, compilation, operations and memory of a training step or a prediction, in this process."""
  made = programs.PROGRAMS[task](workload)
  flops = matrix_flops(made.function, *made.arguments)
  started = time.perf_counter()
  lowered = made.function.lower(*made.arguments)
  traced = time.perf_counter()
  compiled = lowered.compile()
  compiled_at = time.perf_counter()
  arguments = made.arguments

  def call() -> None:
    nonlocal arguments
    result = jax.block_until_ready(compiled(*arguments))
    arguments = made.following(arguments, result)
    programs.check_finite(made.watched(result))

  timing = timed(call, workload.repeats, warm_up=2)
  memory = compiled.memory_analysis()
  figures = {
    'images': workload.images,
    'step_ms': 1e3 * timing.median,
    'fastest_ms': 1e3 * timing.fastest,
    'images_per_s': workload.images / timing.median,
    'trace_s': traced - started,
    'compile_s': compiled_at - traced,
    'tflops': flops / timing.median / 1e12,
    'temporaries_gib': memory.temp_size_in_bytes / 2**30 if memory else None,
  }
  if with_profile and jax.default_backend() != 'cpu':
    figures['profile'] = profile(compiled, call)
  return figures


def of_torchvision(workload, task: str) -> dict:
  """Measures torchvision's detector on the same batch, in its own process."""
  python = torchvision_side.find_torch()
  side = counterparts.counterpart(workload.config)
  figures = torchvision_side.measure(workload, side, task, VERSUS, python)
  if 'step_s' in figures:
    figures |= {'mode': VERSUS, 'step_ms': 1e3 * figures['step_s']}
  return figures


def peaks(tiny: bool) -> dict:
  """Measures operations per second of a matrix product, and bytes per second of a copy, read and written."""
  size = 2**20 if tiny else 2**29
  x = jnp.arange(size, dtype=jnp.float32)
  copy = jax.jit(lambda x: x + 1)
  seconds = timed(lambda: jax.block_until_ready(copy(x)), 5).fastest
  return {'tflops': peak_flops('bfloat16', 3) / 1e12, 'copy_gb_per_s': 2 * 4 * size / seconds / 1e9}


def single_operations(tiny: bool):
  """Yields measurements of RoIAlign, suppression, top-k and bilinear reads alone, forward and with backward."""
  from jaxdet.ops import bilinear_reads, nms, roi_align, roi_align_gather, roi_align_matmul

  sys.path.insert(0, str(ROOT / 'scripts'))
  import bench_bilinear_reads
  import bench_nms
  import bench_roi_align

  rng = np.random.default_rng(0)
  images, rois, channels = (1, 8, 8) if tiny else (8, 512, 256)

  def roi_form(form):
    height, width = bench_roi_align.CANVAS
    shapes = {l: (images, height // 2**l, width // 2**l, channels) for l in bench_roi_align.LEVELS}
    features = {l: jnp.asarray(rng.standard_normal(shape, np.float32), jnp.bfloat16) for l, shape in shapes.items()}
    boxes = jnp.asarray(bench_roi_align.random_rois(rng, images, rois))
    forward, both = bench_roi_align.time_form(form, features, boxes, 7)
    return {'forward_ms': forward, 'both_ms': both}

  chosen = roi_align._form
  for name, form in {'gather': roi_align_gather, 'matmul': roi_align_matmul}.items():
    yield f'op RoIAlign {name}', lambda form=form: restored(roi_align, chosen, lambda: roi_form(form))

  def suppression(case):
    groups, count, classes, iou, limit = bench_nms.CASES[case]
    arrays = bench_nms.crowd(groups, count, classes)
    before, by_block = nms.BLOCK, {}
    for block in bench_nms.BLOCKS:
      run = bench_nms.suppression(block, iou, limit)
      by_block[str(block)] = 1e3 * timed(lambda run=run: jax.block_until_ready(run(*arrays)), 5).fastest
    nms.BLOCK = before
    return {'ms_by_block': by_block, 'block': before}

  for case in bench_nms.CASES:
    yield f'op suppression {case}', lambda case=case: suppression(case)

  def ranking():
    x = jnp.asarray(rng.standard_normal((8, 1000 if tiny else 201_600), np.float32))
    best = jax.jit(lambda x: jax.lax.top_k(x, 500 if tiny else 2000))
    return {'ms': 1e3 * timed(lambda: jax.block_until_ready(best(x)), 5).fastest}

  yield 'op top-k 8 x 201600', ranking

  def reads(form):
    before = bilinear_reads._form
    forward, both = bench_bilinear_reads.times_of(
      form, bench_bilinear_reads.attend, bench_bilinear_reads.attention_arguments()
    )
    bilinear_reads._form = before
    return {'forward_ms': forward, 'both_ms': both}

  for name, form in bilinear_reads.FORMS.items():
    yield f'op bilinear reads {name}', lambda form=form: reads(form)


def restored(module, form, measure):
  """Wraps a measurement; afterwards the module chooses its form as before."""
  try:
    return measure()
  finally:
    module._form = form


def shown(figures: dict) -> str:
  """Formats the figures in a line."""
  return json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items() if k != 'profile'})


if __name__ == '__main__':
  main()
