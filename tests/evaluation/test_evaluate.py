"""A detector that knows the answers, taken through the whole evaluation."""

import csv
import dataclasses
import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from jaxdet.evaluation import evaluate, evaluate_results, predict
from jaxdet.evaluation.evaluator import Evaluator
from jaxdet.evaluation.evaluators import EVALUATORS
from jaxdet.structures import Batch, BoxMasks, Category, Detections, Objects
from jaxdet.training.loop import flat_metrics

HEIGHT, WIDTH = 60, 80  # of the files; the canvas shows them twice as large
ANNOTATIONS = {
  'images': [
    {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH}
    | {'neg_category_ids': [4], 'not_exhaustive_category_ids': []}
    for i in range(100, 105)
  ],
  'categories': [
    {'id': 2, 'name': 'kite', 'frequency': 'r', 'image_count': 3},
    {'id': 4, 'name': 'traffic_light', 'frequency': 'f', 'image_count': 300},
  ],
  'annotations': [
    {
      'id': 1 + i,
      'image_id': 100 + i,
      'category_id': 2 if i % 2 else 4,
      'bbox': [10 + i, 10, 30, 20],
      'area': 600,
      'segmentation': [[10 + i, 10, 40 + i, 10, 40 + i, 30, 10 + i, 30]],
    }
    for i in range(5)
  ],
}


CONFIG = {
  'eval': {
    'protocol': 'lvis',
    'image_ids': '',
    'iou_types': ('bbox', 'segm'),
    'pictures': 3,
    'picture_threshold': 0.5,
    'batch_size': 2,
  },
  'data': {'compare_categories': 'ids_and_names'},
  'model': {'test': {'score_threshold': 0.05}},
}


@pytest.fixture
def config():
  return ConfigDict(CONFIG)


@dataclasses.dataclass
class Split:
  """The annotations above as a dataset: process p of P has images p, p + P, ..., in batches of two."""

  annotations: str
  process: int = 0
  processes: int = 1
  images: int = 5  # the first ones

  categories = tuple(Category(**entry) for entry in ANNOTATIONS['categories'])
  image_ids = np.arange(100, 105)
  image_files = ()
  num_train_images = 0

  def eval_batches(self):
    mine = list(range(self.process, self.images, self.processes))
    for first in range(0, -(-self.images // self.processes), 2):
      some = mine[first : first + 2]
      index = np.int32([*some, 0, 0][:2])
      boxes = np.float32([ANNOTATIONS['annotations'][i]['bbox'] for i in index])[:, None] * 2
      boxes[..., 2:] += boxes[..., :2]
      yield Batch(
        image=np.full((2, 128, 160, 3), 90, np.uint8),
        image_size=np.int32([[2 * HEIGHT, 2 * WIDTH]] * 2),
        original_size=np.int32([[HEIGHT, WIDTH]] * 2),
        index=index,
        valid=np.arange(2) < len(some),
        objects=Objects(boxes, np.int32([[i % 2 == 0] for i in index]), np.ones((2, 1), bool)),
      )


class Score(nn.Module):
  """A factor of all scores."""

  @nn.compact
  def __call__(self, train):
    return self.param('one', nn.initializers.ones, ())


@dataclasses.dataclass(eq=False)
class Oracle:
  """Returns the batch's objects with `score`, moved by `shift` pixels of the canvas."""

  score: float = 0.9
  shift: float = 0.0
  with_masks: bool = True
  traces: int = 0

  networks = {'score': Score()}

  def predict(self, call, batch):
    self.traces += 1
    images = batch.valid.shape[0]
    return Detections(
      boxes=batch.objects.boxes + self.shift,
      scores=jnp.full((images, 1), self.score) * call('score'),
      labels=batch.objects.labels,
      valid=batch.objects.valid & (self.score > 0.05),
      masks=BoxMasks(jnp.ones((images, 1, 28, 28))) if self.with_masks else None,
      incomplete=batch.index == 1,
    )


VARIABLES = {'params': {'score': {'one': np.float32(1)}}}


@pytest.fixture
def split(tmp_path):
  path = tmp_path / 'val.json'
  path.write_text(json.dumps(ANNOTATIONS))
  return Split(str(path))


class TestEvaluate:
  def test_the_right_answers_score_100(self, config, split, tmp_path, capsys):
    detector = Oracle()
    metrics = evaluate(config, detector, VARIABLES, split, str(tmp_path / 'run'))
    for iou_type in ('bbox', 'segm'):
      for name in ('AP', 'AP50', 'APs', 'APr', 'APf', 'AR@300'):
        assert metrics[iou_type][name] == pytest.approx(100), (iou_type, name)
      for name in ('APm', 'APl', 'APc'):
        assert metrics[iou_type][name] is None
    assert detector.traces == 1
    assert (metrics['images'], metrics['incomplete'], metrics['diagnosis']) == (5, 1, [])
    assert json.loads((tmp_path / 'run/metrics.json').read_text()) == metrics
    printed = capsys.readouterr().out
    assert 'evaluated 5 / 5 images' in printed
    header, bbox, segm, groups, *rows = [line.split() for line in printed.splitlines() if not line.startswith('eval')]
    assert header == 'AP AP50 AP75 APs APm APl APr APc APf AR@300'.split()
    assert bbox == ['bbox', '100.00', '100.00', '100.00', '100.00', '-', '-', '100.00', '-', '100.00', '100.00']
    assert segm[0] == 'segm'
    assert groups == 'AR F1 P@F1 R@F1 T@F1 ECE cwECE'.split()
    assert [row[1] for row in rows[:8]] == ['all', 'r', 'c', 'f'] * 2
    # All five are found, with a score of 0.9: 0.1 too little.
    assert rows[0][2:] == rows[1][2:] == ['100.00', '100.00', '100.00', '100.00', '90.00', '10.00', '10.00']
    assert rows[2][2:] == ['-'] * 7

  def test_per_category_table(self, config, split, tmp_path):
    evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))
    kite, light = csv.DictReader(open(tmp_path / 'run/per_category.csv'))
    assert kite == {
      'id': '2',
      'name': 'kite',
      'frequency': 'r',
      'image_count': '3',
      'val_instances': '2',
      **{f'{iou_type}_{name}': '100.000' for iou_type in ('bbox', 'segm') for name in ('AP', 'AR')},
    }
    assert light['val_instances'] == '3'

  def test_pictures_show_both_sides(self, config, split, tmp_path):
    evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))
    pictures = sorted((tmp_path / 'run/pictures').iterdir())
    assert [picture.name for picture in pictures] == ['100.jpg', '101.jpg', '102.jpg']
    width, height = Image.open(pictures[0]).size
    assert width > 2 * 480 and height > 360

  def test_a_second_evaluation_replaces_the_first(self, config, split, tmp_path):
    for detector in (Oracle(), Oracle(shift=8.0)):
      metrics = evaluate(config, detector, VARIABLES, split, str(tmp_path / 'run'))
    assert 0 < metrics['bbox']['AP'] < 60
    assert len(json.loads((tmp_path / 'run/results_val.json').read_text())) == 5

  def test_boxes_alone(self, config, split, tmp_path):
    with pytest.raises(ValueError, match='eval.iou_types'):
      evaluate(config, Oracle(with_masks=False), VARIABLES, split, str(tmp_path / 'run'))
    config.eval.iou_types = ('bbox',)
    metrics = evaluate(config, Oracle(with_masks=False), VARIABLES, split, str(tmp_path / 'run'))
    assert metrics['bbox']['AP'] == pytest.approx(100)
    assert 'segm' not in metrics

  def test_no_detection_is_zero_with_a_reason(self, config, split, tmp_path, capsys):
    variables = {'params': {'score': {'one': np.float32(np.nan)}}}
    metrics = evaluate(config, Oracle(score=0.01), variables, split, str(tmp_path / 'run'))
    assert metrics['bbox']['AP'] == metrics['segm']['AP'] == 0.0
    assert "['params']['score']['one']" in metrics['diagnosis'][0]
    assert 'no score is above model.test.score_threshold = 0.05' in metrics['diagnosis'][1]
    assert 'diagnosis: no detection in 5 images' in capsys.readouterr().out

  def test_a_split_that_is_not_covered_is_an_error(self, config, split, tmp_path):
    split.image_ids = np.arange(100, 106)
    with pytest.raises(ValueError, match='1 of 6 images were not evaluated, among them 105'):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))

  def test_a_split_of_another_annotation_file_is_an_error(self, config, split, tmp_path):
    more = ANNOTATIONS | {'images': [*ANNOTATIONS['images'], ANNOTATIONS['images'][0] | {'id': 7}]}
    (tmp_path / 'val.json').write_text(json.dumps(more))
    with pytest.raises(ValueError, match='split has 5 images and .*val.json has 6, not all the same'):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))

  def test_a_file_with_other_names_for_the_ids_is_an_error(self, config, split, tmp_path):
    categories = [entry | {'name': 'hound'} for entry in ANNOTATIONS['categories']]
    (tmp_path / 'val.json').write_text(json.dumps(ANNOTATIONS | {'categories': categories}))
    with pytest.raises(ValueError, match="val.json have different categories: label 0 is 'kite' .* and 'hound'"):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))

  def test_some_images_of_the_split(self, config, split, tmp_path):
    config.eval.image_ids = 'ids.txt'
    split.images, split.image_ids = 3, np.arange(100, 103)
    metrics = evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))
    assert (metrics['images'], metrics['image_ids']) == (3, 'ids.txt')
    assert (metrics['bbox']['APr'], metrics['bbox']['APf']) == pytest.approx((100, 100))
    assert {row['val_instances'] for row in csv.DictReader(open(tmp_path / 'run/per_category.csv'))} == {'1', '2'}

  def test_some_images_of_another_file_are_an_error(self, config, split, tmp_path):
    config.eval.image_ids = 'ids.txt'
    split.images, split.image_ids = 3, np.arange(103, 106)
    with pytest.raises(ValueError, match='1 of 3 images are not in .*val.json, among them 105'):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))

  @pytest.mark.parametrize(('protocol', 'recall', 'groups'), [('lvis_fixed', 'AR', 8), ('coco', 'AR@100', 2)])
  def test_other_protocols(self, protocol, recall, groups, config, split, tmp_path, capsys):
    config.eval.protocol = protocol
    metrics = evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))
    assert (metrics['protocol'], metrics['diagnosis']) == (protocol, [])
    assert (metrics['segm']['AP'], metrics['segm'][recall]) == pytest.approx((100, 100))
    assert metrics['segm']['ECE'] == pytest.approx(10)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 1 + groups + 1

  def test_every_metric_has_a_flat_name(self, config, split, tmp_path):
    flat = flat_metrics(evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run')))
    assert [flat[name] for name in ('segm/AP', 'bbox/ARr@300', 'bbox/Pf@F1')] == pytest.approx([100] * 3)
    assert [flat[name] for name in ('segm/ECEr', 'segm/cwECE')] == pytest.approx([10] * 2)

  def test_an_unknown_protocol_is_an_error(self, config, split, tmp_path):
    config.eval.protocol = 'lvis_fix'
    with pytest.raises(ValueError, match="unknown eval.protocol 'lvis_fix'; the nearest is 'lvis_fixed', of"):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path / 'run'))


class Counting(Evaluator):
  """Counts images; knows whether it was let go."""

  def __init__(self, evaluation):
    self.images, self.workdir = 0, evaluation.workdir
    made.append(self)

  def add(self, batch, detections):
    assert detections.boxes.shape == batch.objects.boxes.shape
    self.images += int(batch.valid.sum())

  def finish(self, findings):
    return {'count': {'images': self.images}, 'diagnosis': list(findings)}

  def __exit__(self, *error):
    self.error = error[0]


made = []


class TestEvaluatorsByName:
  @pytest.fixture(autouse=True)
  def counting(self, monkeypatch, config):
    made.clear()
    monkeypatch.setitem(EVALUATORS, 'counting', Counting)
    config.eval.protocol = 'counting'

  def test_an_evaluator_has_every_image_once(self, config, split, tmp_path):
    metrics = evaluate(config, Oracle(with_masks=False), VARIABLES, split, str(tmp_path))
    assert metrics == {'count': {'images': 5}, 'diagnosis': []}
    assert [(each.workdir, each.error) for each in made] == [(str(tmp_path), None)]

  def test_it_is_let_go_where_a_batch_is_bad(self, config, split, tmp_path):
    split.eval_batches = lambda: iter([next(Split.eval_batches(split)), None])
    with pytest.raises(AttributeError):
      evaluate(config, Oracle(), VARIABLES, split, str(tmp_path))
    assert made[0].error is AttributeError

  def test_no_results_file_is_scored_by_it(self, config):
    with pytest.raises(ValueError, match="unknown eval.protocol of results files 'counting'; the nearest is '"):
      evaluate_results(config, None, 'results.json', '.')


class TestPredict:
  def test_records_and_pictures(self, config, split, tmp_path):
    paths = [str(tmp_path / folder / 'photo.png') for folder in 'abcd'] + [str(tmp_path / 'other.png')]
    for path in paths:
      (tmp_path / path).parent.mkdir(exist_ok=True)
      Image.new('RGB', (WIDTH, HEIGHT)).save(path)
    out = tmp_path / 'out'
    batches = split.eval_batches()
    done = predict(config, Oracle(), VARIABLES, Split.categories, batches, paths, Image.open, str(out))
    assert done == {0, 1, 2, 3, 4}
    records = json.load(open(out / 'predictions.json'))
    assert len(records) == 5
    assert records[4] == {
      'image_id': 4,
      'category_id': 4,
      'bbox': [14, 10, 30, 20],
      'score': pytest.approx(0.9),
      'segmentation': records[4]['segmentation'],
      'file_name': paths[4],
      'category_name': 'traffic_light',
    }
    assert sorted(picture.name for picture in out.iterdir()) == [
      'other_detections.jpg',
      *(f'photo_{i}_detections.jpg' for i in range(4)),
      'predictions.json',
    ]
    assert np.asarray(Image.open(out / 'other_detections.jpg')).std() > 5  # something has been drawn
