"""Times the conversion of masks to records of a results file: pasting, thresholding and run-length encoding.

  python scripts/bench_pasting.py [--detections 300] [--processes 1,2] [--json FILE]

Images of 640 x 480 with round masks of 28 x 28 cells, in boxes with sides log-uniform between 12 and 400 pixels. Prints
images per second for so many worker processes of an evaluation, which get their tasks by pipe, and milliseconds per
image of each process.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

HEIGHT, WIDTH, CANVAS = 480, 640, (800, 1067)
IMAGES, REPEATS = 16, 5


def detections(seed: int, count: int) -> tuple:
  """Draws the arguments of `image_results`."""
  random = np.random.default_rng(seed)
  size = np.minimum(np.exp(random.uniform(np.log(12), np.log(400), (count, 2))), (WIDTH, HEIGHT))
  corner = random.random((count, 2)) * ((WIDTH, HEIGHT) - size)
  boxes = np.concatenate([corner, corner + size], axis=1) * (CANVAS[0] / HEIGHT)
  cells = (np.arange(28) + 0.5) / 28 - 0.5
  radius = random.uniform(0.25, 0.6, (count, 2, 1, 1))
  distance = np.hypot(cells[:, None] / radius[:, 0], cells / radius[:, 1])
  masks = 1 / (1 + np.exp(8 * (distance - 1) + random.normal(0, 0.15, distance.shape)))
  labels = random.integers(0, 1203, count)
  fields = boxes.astype(np.float32), random.random(count, np.float32), labels, masks.astype(np.float32)
  return *fields, None, np.int32(CANVAS), np.int32((HEIGHT, WIDTH)), seed, list(range(1, 1204))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--detections', type=int, default=300, help='an image')
  parser.add_argument('--processes', default='1,2', help='how many to try')
  parser.add_argument('--json', help='a file to which the figures are appended')
  arguments = parser.parse_args()

  from jaxdet.evaluation.worker_pool import WorkerPool
  from scripts.figures import report

  tasks = [detections(seed, arguments.detections) for seed in range(IMAGES)]
  for size in map(int, arguments.processes.split(',')):
    pool = WorkerPool(size)
    for answer in [pool.submit(*task) for task in tasks]:  # starts them
      answer.result()
    start = time.perf_counter()
    for answer in [pool.submit(*task) for task in tasks * REPEATS]:
      answer.result()
    speed = IMAGES * REPEATS / (time.perf_counter() - start)
    pool.close()
    figures = {'detections': arguments.detections, 'processes': size, 'images_per_second': round(speed, 1)}
    report('pasting', figures | {'ms_per_image_and_process': round(1e3 * size / speed, 1)}, (), arguments.json)


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
