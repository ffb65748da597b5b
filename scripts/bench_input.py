"""Images a second of the training pipeline: read, decode, resize, flip, rasterise, batch; without a model.

  python scripts/bench_input.py --data DIR --records FOLDER [--config configs/lvis_maskrcnn.py] [--batches 40]

DIR is as for training; the records are made in FOLDER if they are not there. Prints a JSON line.
"""

import argparse
import json
import pathlib
import resource
import sys
import time


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data', required=True)
  parser.add_argument('--records', required=True)
  parser.add_argument('--config', default='configs/lvis_maskrcnn.py', help='path[:variant]')
  parser.add_argument('--batches', type=int, default=40)
  args = parser.parse_args()

  from input_pipeline import dataset
  from jaxdet.command_line import load_config

  config = load_config(args.config).unlock()
  config.data.dir, config.data.records = args.data, str(pathlib.Path(args.records).resolve())
  batches = dataset.build(config.lock()).train_batches(0)
  next(batches)  # starts the threads
  wall, cpu = time.perf_counter(), time.process_time()
  objects = sum(int(next(batches).objects_valid.sum()) for _ in range(args.batches))
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  images = args.batches * config.train.batch_size
  report = {
    'images_per_second': images / wall,
    'images_per_cpu_second': images / cpu,
    'cpu_ms_per_image': 1000 * cpu / images,
    'objects_per_image': objects / images,
    'peak_process_gib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
  }
  print(json.dumps({name: round(value, 3) for name, value in report.items()}))


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
