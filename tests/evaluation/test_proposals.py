"""Recall of proposals as pycocotools gives it without categories."""

import contextlib
import io
import json

import numpy as np
import pytest
from metric_case import annotation, dataset, detection, read_detections, synthetic
from ml_collections import ConfigDict
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxdet.evaluation import evaluate_results
from jaxdet.evaluation.ground_truth import ground_truth
from jaxdet.evaluation.proposals import COLUMNS, proposal_recall
from jaxdet.evaluation.selection import PROTOCOLS

CONFIG = {
  'eval': {'protocol': 'proposals', 'iou_types': ('bbox',), 'image_ids': ''},
  'model': {'test': {'score_threshold': 0.0}},
}


def recall(data, records):
  truth = ground_truth(data, 'synthetic')
  return proposal_recall(truth, read_detections(truth, records, PROTOCOLS['proposals']))


def referee(data, records):
  """{name: value} of pycocotools with `useCats` 0 and mmdetection's limits; NaN where nothing counts."""
  known = {category['id'] for category in data['categories']}
  records = [record | {'segmentation': []} for record in records if record['category_id'] in known]
  data, records = json.loads(json.dumps([data, records]))
  with contextlib.redirect_stdout(io.StringIO()):
    api = COCO()
    api.dataset = data
    api.createIndex()
    evaluator = COCOeval(api, api.loadRes(records), 'bbox')
    evaluator.params.useCats, evaluator.params.maxDets = 0, [100, 300, 1000]
    evaluator.evaluate()
    evaluator.accumulate()
  found = evaluator.eval['recall'][:, 0]  # [T, A, M]
  found = np.where(found < 0, np.nan, found).mean(0)
  return dict(zip(COLUMNS, [*found[0], *found[1:, -1]], strict=True))


@pytest.mark.parametrize('seed', range(6))
def test_as_pycocotools(seed):
  data, records = synthetic(seed)
  found, expected = recall(data, records), referee(data, records)
  assert [np.nan if value is None else value for value in found.values()] == pytest.approx(
    list(expected.values()), abs=1e-12, nan_ok=True
  )


def test_categories_do_not_matter_and_limits_do():
  box, elsewhere = (10, 10, 40, 40), (100, 100, 40, 40)
  data = dataset([annotation(1, 10, 5, box)])
  records = [detection(10, 3, elsewhere, 0.9)] * 100 + [detection(10, 3, box, 0.5)]
  found = recall(data, records)
  assert (found['AR@100'], found['AR@300'], found['ARm@1000'], found['ARs@1000']) == (0, 1, 1, None)
  assert recall(data, records[1:])['AR@100'] == 1


class TestReport:
  def score(self, tmp_path, **settings):
    box = (10, 10, 40, 40)
    (tmp_path / 'results.json').write_text(json.dumps([detection(10, 3, box, 0.5)]))
    truth = ground_truth(dataset([annotation(1, 10, 5, box)]), 'val.json')
    config = ConfigDict(CONFIG)
    config.eval.update(settings)
    return evaluate_results(config, truth, str(tmp_path / 'results.json'), str(tmp_path))

  def test_the_table_and_the_file(self, tmp_path, capsys):
    metrics = self.score(tmp_path)
    assert metrics['bbox'] == dict(zip(COLUMNS, [100, 100, 100, None, 100, None], strict=True))
    assert (metrics['protocol'], metrics['diagnosis']) == ('proposals', [])
    assert json.loads((tmp_path / 'metrics.json').read_text()) == metrics
    assert capsys.readouterr().out.splitlines()[0].split() == list(COLUMNS)

  def test_names_in_results_must_be_those_of_the_ids(self, tmp_path):
    truth = ground_truth(dataset([annotation(1, 10, 5, (10, 10, 40, 40))]), 'val.json')
    category = truth.categories[0]
    for name in (category.name, 'another'):
      record = detection(10, category.id, (10, 10, 40, 40), 0.5) | {'category_name': name}
      (tmp_path / 'results.json').write_text(json.dumps([record]))
      if name == category.name:
        assert self.evaluate(tmp_path, truth)['bbox']['AR@1000'] == 100
      else:
        with pytest.raises(ValueError, match=f"'another'.*'{category.name}', category {category.id} of val.json"):
          self.evaluate(tmp_path, truth)

  def evaluate(self, tmp_path, truth):
    return evaluate_results(ConfigDict(CONFIG), truth, str(tmp_path / 'results.json'), str(tmp_path))

  def test_masks_are_refused(self, tmp_path):
    with pytest.raises(ValueError, match=r"'proposals' is about boxes alone: set eval.iou_types to \('bbox',\)"):
      self.score(tmp_path, iou_types=('bbox', 'segm'))
