"""Annotations and detections made by hand or by chance, their metrics, and what the official packages say of them."""

import collections
import contextlib
import functools
import gzip
import io
import json
import pathlib

import numpy as np
from pycocotools import mask as rle_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.ground_truth import ground_truth, load_ground_truth
from jaxdet.evaluation.selection import PROTOCOLS, read_for, select

SIZE = 200  # pixels, of the synthetic images
RECORDED = pathlib.Path(__file__).parents[1] / 'data' / 'lvis_referee'


def read_detections(truth, records, protocol):
  """The detections of records that the protocol evaluates."""
  return select(truth, read_for(truth, records, protocol), protocol)


def score(data, records, protocol, iou_type):
  truth = ground_truth(data, 'synthetic') if isinstance(data, dict) else load_ground_truth(data)
  protocol = PROTOCOLS.get(protocol, protocol)
  return average_precision(truth, read_detections(truth, records, protocol), protocol, iou_type)


def polygon(x, y, width, height):
  return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def annotation(id, image_id, category_id, box, **fields):
  common = {'id': id, 'image_id': image_id, 'category_id': category_id, 'bbox': list(box), 'area': box[2] * box[3]}
  return {**common, 'segmentation': polygon(*box), 'iscrowd': 0, **fields}


def detection(image_id, category_id, box, score):
  mask = rle_codec.merge(rle_codec.frPyObjects(polygon(*box), SIZE, SIZE))
  mask['counts'] = mask['counts'].decode()
  return {
    'image_id': image_id,
    'category_id': category_id,
    'bbox': list(box),
    'score': score,
    'segmentation': mask,
  }


def dataset(annotations, images=1, negative=(), not_exhaustive=(), frequencies='rcf'):
  return {
    'images': [
      {
        'id': 10 + i,
        'file_name': f'{10 + i}.jpg',
        'height': SIZE,
        'width': SIZE,
        'neg_category_ids': list(negative),
        'not_exhaustive_category_ids': list(not_exhaustive),
      }
      for i in range(images)
    ],
    'categories': [
      {'id': 3 + 2 * i, 'name': f'category {i}', 'frequency': frequency, 'image_count': 1}
      for i, frequency in enumerate(frequencies)
    ],
    'annotations': annotations,
  }


def synthetic(seed, images=6, categories=4):
  """Objects and detections with ties in score, duplicates, crowds, ignored and not exhaustive objects."""
  random = np.random.default_rng(seed)

  def box():
    size = random.choice([12, 40, 110], p=[0.4, 0.4, 0.2]) * random.uniform(0.6, 1.4, 2)
    return np.round([*random.uniform(0, SIZE - size), *size], 1).tolist()

  ids = [3 + 2 * i for i in range(categories)]
  data = dataset([], images=images, frequencies=random.choice(list('rcf'), categories).tolist())
  records = []
  for image in random.permutation(data['images']):
    for _ in range(random.integers(0, 7)):
      fields = {'iscrowd': int(random.random() < 0.15), 'ignore': int(random.random() < 0.1)}
      id = len(data['annotations']) + 1
      entry = annotation(id, image['id'], int(random.choice(ids[:-1])), box(), **fields)
      entry['area'] *= float(random.choice([1.0, 0.8, 0.0], p=[0.7, 0.27, 0.03]))
      data['annotations'].append(entry)
      for _ in range(random.integers(0, 4)):
        near = np.round(np.asarray(entry['bbox']) + random.normal(0, random.choice([0, 1, 4]), 4), 1)
        near = np.maximum(near, 1).tolist() if random.random() < 0.7 else box()
        category = entry['category_id'] if random.random() < 0.8 else int(random.choice(ids))
        records.append(detection(image['id'], category, near, round(random.random(), 1)))
    image['neg_category_ids'] = random.choice(ids, 2, replace=False).tolist()
    image['not_exhaustive_category_ids'] = random.choice(ids, 1).tolist()
  for _ in range(2):  # unknown to the file, but they take part in the cut
    records.append(detection(10, 999, box(), 0.95))
  records = [records[i] for i in random.permutation(len(records))]
  return data, records


def crowded_image():
  """An image with more detections than any protocol's limit."""
  random = np.random.default_rng(0)
  data = dataset([annotation(1 + i, 10, 3, (20 * i, 20 * i, 30, 30)) for i in range(8)], negative=[5])
  boxes = np.maximum(
    np.asarray([data['annotations'][i % 8]['bbox'] for i in range(400)]) + random.normal(0, 3, (400, 4)), 1
  )
  records = [detection(10, int(random.choice([3, 3, 5, 7])), box, round(random.random(), 2)) for box in boxes.tolist()]
  return data, records


def fixed_limit(seed):
  """Detections of a category that fixed AP leaves, for the random data of a seed; few, so that it cuts."""
  return 3 + seed


def best_of_each_category(records, limit):
  """Selects what fixed AP leaves of the results, in the official order of ties."""
  by_category = collections.defaultdict(list)
  for record in sorted(records, key=lambda record: -record['score']):
    by_category[record['category_id']].append(record)
  return [record for of_category in by_category.values() for record in of_category[:limit]]


@functools.cache
def recorded_inputs():
  """{name: (data, records)} that the `lvis` package was asked about, see scripts/record_lvis_referee.py."""
  return json.loads(gzip.decompress((RECORDED / 'inputs.json.gz').read_bytes()))


def lvis_referee(case, iou_type):
  """(precision [T, R, K, A], recall [T, K, A, 1], the summary's numbers) of the `lvis` package, recorded; -1: none."""
  with np.load(RECORDED / 'metrics.npz') as file:
    precision, recall, summary = (file[f'{case}/{iou_type}/{name}'] for name in ('precision', 'recall', 'summary'))
  return precision, recall[..., None], summary


def coco_referee(data, records, iou_type):
  """(precision [T, R, K, A], recall [T, K, A, M], the summary's numbers) of `pycocotools`; -1: none."""
  data, records = json.loads(json.dumps([data, records]))  # it changes them
  if iou_type == 'segm':
    for record in records:
      del record['bbox']
  with contextlib.redirect_stdout(io.StringIO()):
    api = COCO()
    api.dataset = data
    api.createIndex()
    evaluator = COCOeval(api, api.loadRes(records), iou_type)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
  return evaluator.eval['precision'][..., -1], evaluator.eval['recall'], evaluator.stats


def assert_same(scores, referee):
  """The scores are the referee's, to the last digits."""
  precision, recall, summary = referee
  np.testing.assert_allclose(np.nan_to_num(scores.precision, nan=-1), precision, rtol=0, atol=1e-14)
  np.testing.assert_allclose(np.nan_to_num(scores.recall, nan=-1), recall, rtol=0, atol=1e-14)
  ours = [-1 if value is None else value for value in scores.summary().values()]
  np.testing.assert_allclose(ours, summary, rtol=0, atol=1e-12)
