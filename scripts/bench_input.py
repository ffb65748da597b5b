"""Measures the training pipeline without a model: images per second, time of each part, and memory.

  python scripts/bench_input.py --generate FOLDER [--images 512] [--config configs/lvis_maskrcnn.py] [--json FILE]
  python scripts/bench_input.py --data DIR --records FOLDER [--config ..] [--json FILE]

With --generate photographs of 640 x 480 with 13 objects are drawn into FOLDER, if they are missing (about 0.1 s each).
DIR is as for training; missing records are made. Times are CPU time per thread, so that those of several cores add up;
the parts are traced in the running pipeline, and exclude each other's time. The copy to the device is that of a
training step.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

OBJECTS = 13  # per generated image
COPIES = 5  # repeated copies of a batch to the device


class Trace:
  """CPU seconds of wrapped functions by name, without the wrapped functions that they call."""

  def __init__(self):
    self.seconds: dict[str, float] = {}
    self._local = threading.local()
    self._lock = threading.Lock()

  def wrap(self, name: str, function: Callable) -> Callable:
    def traced(*args, **kwargs):
      outer, self._local.inner = getattr(self._local, 'inner', 0.0), 0.0
      start = time.thread_time()
      try:
        return function(*args, **kwargs)
      finally:
        seconds = time.thread_time() - start
        with self._lock:
          self.seconds[name] = self.seconds.get(name, 0.0) + seconds - self._local.inner
        self._local.inner = outer + seconds

    return traced

  @contextlib.contextmanager
  def of_pipeline(self) -> Iterator[None]:
    """Traces the parts of the training pipeline."""
    from input_pipeline import loading, polygons, rasterize, records, transforms
    from input_pipeline.fields.table import Fields

    parts = {
      'read': [(records.Records, 'read'), (loading, 'parse')],
      'decode': [(loading, 'decode_example')],
      'resize': [(transforms, 'resize')],
      'flip and copy': [(transforms, 'place_image')],
      'boxes and polygons': [(Fields, 'place')],
      'masks': [(rasterize, name) for name in ('rasterize_polygons', 'resample_runs', 'clear_outside', 'pack')],
      'outlines': [(polygons.Polygons, 'outlines')],
      'batch': [(loading, 'empty_columns'), (Fields, 'write')],
    }
    with contextlib.ExitStack() as stack:
      for name, functions in parts.items():
        for owner, attribute in functions:
          wrapped = self.wrap(name, getattr(owner, attribute))
          stack.enter_context(mock.patch.object(owner, attribute, wrapped))
      yield


def generate(folder: str, images: int) -> None:
  """Draws missing training images, and two validation images."""
  from scripts import generated_lvis

  for split, count in (('train', images), ('val', 2)):
    path = os.path.join(folder, f'{split}.json')
    if not os.path.exists(path):
      content = generated_lvis.annotations(count, OBJECTS, seed=int(split == 'val'))
      for image in content['images']:
        image['file_name'] = f'{split}/{image["file_name"]}'
      os.makedirs(os.path.join(folder, 'images', split), exist_ok=True)
      generated_lvis.write_photographs(os.path.join(folder, 'images'), content)
      generated_lvis.write_annotations(path, content)


def resident_gib() -> float:
  """Resident memory of this process."""
  with open('/proc/self/statm') as file:
    return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**30


def measure(config, count: int, epochs: int) -> dict:
  """Measures `count` batches, as many traced batches, and the memory over epochs.

  Args:
    config: a configuration with an existing data set.
  """
  import jax

  from input_pipeline import dataset
  from jaxdet.sharding import make_mesh, put_batch

  images = dataset.build(config)
  batches = images.train_batches(0)
  next(batches)  # starts the threads
  wall, cpu = time.perf_counter(), time.process_time()
  objects = sum(int(next(batches).objects.valid.sum()) for _ in range(count))
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  seen = count * config.train.batch_size

  trace = Trace()
  with trace.of_pipeline():
    traced = images.train_batches(0)
    for _ in range(count):
      batch = next(traced)
    traced.close()
  started = config.train.batch_size * (count + 2)  # with those still in progress
  parts = {name: round(1e3 * seconds / started, 2) for name, seconds in trace.seconds.items()}

  mesh = make_mesh()
  jax.block_until_ready(put_batch(batch, mesh))
  copy = time.process_time()
  for _ in range(COPIES):
    jax.block_until_ready(put_batch(batch, mesh))
  copy = time.process_time() - copy

  resident = []
  for _ in range(epochs):
    for _ in range(images.num_train_images // config.train.batch_size):
      next(batches)
    resident.append(round(resident_gib(), 3))
  return {
    'images_per_second': round(seen / wall, 1),
    'images_per_cpu_second': round(seen / cpu, 1),
    'cpu_ms_per_image': round(1e3 * cpu / seen, 2),
    'objects_per_image': round(objects / seen, 1),
    'parts_ms': parts,
    'copy_to_device_ms': round(1e3 * copy / COPIES / config.train.batch_size, 2),
    'resident_gib_after_epochs': resident,
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data')
  parser.add_argument('--records')
  parser.add_argument('--generate', metavar='FOLDER')
  parser.add_argument('--images', type=int, default=512, help='to generate')
  parser.add_argument('--config', default='configs/lvis_maskrcnn.py', help='path[:variant]')
  parser.add_argument('--batches', type=int, default=40)
  parser.add_argument('--epochs', type=int, default=3, help='over which the memory is watched')
  parser.add_argument('--json', help='a file to which the figures are appended')
  args = parser.parse_args()
  if bool(args.generate) == bool(args.data and args.records):
    parser.error('give --generate FOLDER, or --data DIR and --records FOLDER')

  from jaxdet.configuration import load_config
  from scripts.figures import report

  if args.generate:
    generate(args.generate, args.images)
  config = load_config(args.config).unlock()
  config.data.dir = args.generate or args.data
  config.data.records = str(pathlib.Path(args.records or os.path.join(args.generate, 'records')).resolve())
  report('input', measure(config.lock(), args.batches, args.epochs), ('pillow', 'pycocotools'), args.json)


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
