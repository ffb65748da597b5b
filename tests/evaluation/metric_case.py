"""Annotations and detections made by hand or by chance, their metrics, and what the official packages say of them."""

import contextlib
import io
import json
import tempfile

import numpy as np
import pytest
from pycocotools import mask as rle_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.ground_truth import ground_truth, load_ground_truth
from jaxdet.evaluation.selection import PROTOCOLS, read_for, select

SIZE = 200  # pixels, of the synthetic images


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


def referee(data, records, protocol, iou_type, monkeypatch, max_dets=300):
  """(precision [T, R, K, A], recall [T, K, A, M], the summary's numbers) of the official packages; -1: none.

  `max_dets`: of an image by the lvis protocol; -1: all.
  """
  data, records = json.loads(json.dumps([data, records]))
  if iou_type == 'segm':
    for record in records:
      del record['bbox']
  with contextlib.redirect_stdout(io.StringIO()):
    if protocol == 'coco':
      api = COCO()
      api.dataset = data
      api.createIndex()
      evaluator = COCOeval(api, api.loadRes(records), iou_type)
      evaluator.evaluate()
      evaluator.accumulate()
      evaluator.summarize()
      return evaluator.eval['precision'][..., -1], evaluator.eval['recall'], list(evaluator.stats)
    lvis = pytest.importorskip('lvis')
    monkeypatch.setattr(np, 'float', float, raising=False)
    with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
      json.dump(data, file)
      file.flush()
      api = lvis.LVIS(file.name)
    evaluator = lvis.LVISEval(api, lvis.LVISResults(api, records, max_dets), iou_type)
    evaluator.params.max_dets = max_dets
    evaluator.run()
    return evaluator.eval['precision'], evaluator.eval['recall'][..., None], list(evaluator.results.values())
