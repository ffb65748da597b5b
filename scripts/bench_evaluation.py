"""How long the LVIS metrics take here and in the `lvis` package, on detections made from an annotation file.

  python scripts/bench_evaluation.py ANNOTATIONS [--detections 300] [--referee]

Every object is found with noise in place and score, and each image is filled up to its number of detections
with boxes of random categories.
"""

import argparse
import json
import time

import numpy as np
from pycocotools import mask as rle_codec

from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.ground_truth import load_ground_truth
from jaxdet.evaluation.selection import PROTOCOLS, read_columns


def noisy_detections(path: str, count: int) -> list[dict]:
  """`count` detections an image: its objects moved by a tenth of their size, then boxes anywhere."""
  random = np.random.default_rng(0)
  with open(path) as file:
    data = json.load(file)
  categories = [category['id'] for category in data['categories']]
  objects = {image['id']: [] for image in data['images']}
  for entry in data['annotations']:
    objects[entry['image_id']].append(entry)
  records = []
  for image in data['images']:
    judged = [entry['category_id'] for entry in objects[image['id']]] + image['neg_category_ids'] + categories[:1]
    for i in range(count):
      if i < len(objects[image['id']]):
        x, y, w, h = objects[image['id']][i]['bbox']
        label, score = objects[image['id']][i]['category_id'], random.random()
      else:
        w, h = random.uniform(0.05, 0.5, 2) * (image['width'], image['height'])
        x, y = random.uniform(0, 1, 2) * (image['width'] - w, image['height'] - h)
        label, score = random.choice(judged if random.random() < 0.3 else categories), 0.5 * random.random()
      x, y = np.maximum((x + random.normal(0, 0.1) * w, y + random.normal(0, 0.1) * h), 0)
      w, h = min(w, image['width'] - x), min(h, image['height'] - y)
      if w < 1 or h < 1:
        continue
      outline = [x, y, x + w, y, x + w, y + h, x, y + h]
      mask = rle_codec.frPyObjects([outline], image['height'], image['width'])[0]
      records.append(
        {
          'image_id': image['id'],
          'category_id': int(label),
          'bbox': [float(v) for v in (x, y, w, h)],
          'score': float(score),
          'segmentation': {'size': mask['size'], 'counts': mask['counts'].decode()},
        }
      )
  return records


def time_ours(path: str, records: list[dict], iou_type: str) -> tuple[float, float]:
  """(seconds, AP); reading the files is not counted."""
  truth = load_ground_truth(path)
  start = time.perf_counter()
  columns = read_columns(truth, records, PROTOCOLS['lvis'])
  value = average_precision(truth, columns, PROTOCOLS['lvis'], iou_type).summary()['AP']
  return time.perf_counter() - start, value


def time_referee(path: str, records: list[dict], iou_type: str) -> tuple[float, float]:
  """(seconds, AP) of the `lvis` package; reading the files is not counted."""
  import lvis

  vars(np)['float'] = float  # which NumPy dropped and lvis 0.5.3 needs
  truth = lvis.LVIS(path)
  records = [dict(record) for record in records]
  if iou_type == 'segm':
    for record in records:
      del record['bbox']
  start = time.perf_counter()
  evaluator = lvis.LVISEval(truth, lvis.LVISResults(truth, records), iou_type)
  evaluator.run()
  return time.perf_counter() - start, evaluator.results['AP']


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('annotations')
  parser.add_argument('--detections', type=int, default=300, help='an image')
  parser.add_argument('--referee', action='store_true', help='time the lvis package too')
  arguments = parser.parse_args()
  records = noisy_detections(arguments.annotations, arguments.detections)
  for iou_type in ('bbox', 'segm'):
    seconds, value = time_ours(arguments.annotations, records, iou_type)
    print(f'{iou_type}: {len(records)} detections, jaxdet {seconds:.2f} s, AP {value:.6f}', flush=True)
    if arguments.referee:
      referee_seconds, referee_value = time_referee(arguments.annotations, records, iou_type)
      print(f'{iou_type}: lvis {referee_seconds:.2f} s, AP {referee_value:.6f}, {referee_seconds / seconds:.0f} x')


if __name__ == '__main__':
  main()
