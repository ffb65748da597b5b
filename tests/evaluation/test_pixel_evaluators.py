"""Panoptic and semantic evaluators on two images whose answers are known, through files, to metrics.json."""

import dataclasses
import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs.parts.experiment import panoptic_evaluation, semantic_evaluation
from jaxdet.annotations import panoptic
from jaxdet.annotations.categories import read_categories
from jaxdet.evaluation import process_parts
from jaxdet.evaluation.evaluator import Evaluation
from jaxdet.evaluation.evaluators import find_evaluator
from jaxdet.evaluation.semantic_evaluator import read_map
from jaxdet.structures import Batch, BoxMasks, Detections, Objects

HEIGHT, WIDTH = 30, 40  # of the files; the canvas shows them twice as large, with four pixels beside them
BOX = (4, 6, 20, 26)  # of the only object, in pixels of the file
THINGS = [{'id': 3, 'name': 'kite', 'isthing': 1}]
STUFF = [{'id': 92, 'name': 'sky', 'isthing': 0}, {'id': 95, 'name': 'sea', 'isthing': 0}]


def true_ids():
  ids = np.full((HEIGHT, WIDTH), 700)
  ids[:, 30:] = 9000
  ids[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 11
  ids[:2] = 0
  return ids


class Split:
  """Two equal images, the second in a batch with one that only fills it up."""

  num_train_images = 0

  def __init__(self, folder):
    self.annotations = str(folder / 'instances.json')
    x1, y1, x2, y2 = BOX
    box = {'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': (x2 - x1) * (y2 - y1), 'category_id': 3, 'iscrowd': 0}
    outline = {'segmentation': [[x1, y1, x2, y1, x2, y2, x1, y2]]}
    images = [{'id': id, 'height': HEIGHT, 'width': WIDTH, 'file_name': f'{id}.jpg'} for id in (5, 8)]
    objects = [{'id': id, 'image_id': id, **box, **outline} for id in (5, 8)]
    content = {'images': images, 'categories': THINGS, 'annotations': objects}
    (folder / 'instances.json').write_text(json.dumps(content))
    self.categories = read_categories(self.annotations)
    self.image_ids, self.image_files = np.array([5, 8]), ('val/5.jpg', 'val/8.jpg')


@pytest.fixture
def evaluation(tmp_path):
  data = tmp_path / 'data'
  for name in ('panoptic_val', 'stuff_val', '../run'):
    (data / name).mkdir(parents=True)
  ids = true_ids()
  segments = [
    {'id': id, 'category_id': category, 'iscrowd': 0, 'area': int((ids == id).sum())}
    for id, category in ((11, 3), (700, 92), (9000, 95))
  ]
  annotations = [{'image_id': id, 'file_name': f'{id}.png', 'segments_info': segments} for id in (5, 8)]
  (data / 'panoptic_val.json').write_text(json.dumps({'categories': THINGS + STUFF, 'annotations': annotations}))
  for id in (5, 8):
    panoptic.write_ids(str(data / 'panoptic_val' / f'{id}.png'), ids)
  split = panoptic.read(str(data / 'panoptic_val.json'))
  for id in (5, 8):
    classes = panoptic.semantic_map(split.ids(id), split.of(id).segments, split.categories)
    Image.fromarray(classes).save(data / 'stuff_val' / f'{id}.png')

  def make(settings):
    merging = {'score_threshold': 0.5, 'overlap': 0.5, 'stuff_area': 50}
    config = ConfigDict(
      {
        'eval': {**settings, 'pictures': 0},
        'data': {'dir': str(data), 'compare_categories': 'ids_and_names'},
        'model': {'test': {'score_threshold': 0.05, 'panoptic': merging}},
      }
    )
    return Evaluation(config, Split(data), str(tmp_path / 'run'))

  return make


def batches(sea_from: int):
  """What a detector says that knows all but where the sea begins; a cell of its grid is a pixel of the file."""
  classes = np.ones((HEIGHT + 2, WIDTH + 2), int)
  classes[:, sea_from:] = 2
  classes[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 0
  logits = 50.0 * np.eye(3, dtype=np.float32)[classes]
  for index in ([0], [1, 0]):
    count = len(index)
    batch = Batch(
      image=np.zeros((count, 2 * HEIGHT + 4, 2 * WIDTH + 4, 3), np.uint8),
      image_size=np.tile(np.int32([[2 * HEIGHT, 2 * WIDTH]]), (count, 1)),
      original_size=np.tile(np.int32([[HEIGHT, WIDTH]]), (count, 1)),
      index=np.int32(index),
      valid=np.arange(count) < 1,
      objects=Objects(np.zeros((count, 0, 4), np.float32), np.zeros((count, 0), np.int32), np.zeros((count, 0), bool)),
    )
    row = np.ones((count, 1))
    found = Detections(
      boxes=np.tile(2 * np.float32(BOX), (count, 1, 1)),
      scores=0.9 * row,
      labels=np.zeros((count, 1), np.int32),
      valid=row > 0,
      masks=BoxMasks(np.ones((count, 1, 28, 28), np.float32)),
      incomplete=np.zeros(count, bool),
      semantic=np.tile(logits, (count, 1, 1, 1)),
    )
    yield batch, found


def run(evaluation, sea_from, change=lambda found: found):
  with find_evaluator(evaluation.config)(evaluation) as evaluator:
    for batch, found in batches(sea_from):
      evaluator.add(batch, change(found))
    return evaluator.finish([])


PANOPTIC = panoptic_evaluation('panoptic_val.json', 'panoptic_val')
SEMANTIC = semantic_evaluation('stuff_val')


def test_a_detector_that_knows_everything_is_perfect(evaluation, tmp_path):
  metrics = run(evaluation(PANOPTIC), sea_from=30)
  assert metrics['panoptic'] == {f'{name}{end}': 100.0 for name in ('PQ', 'SQ', 'RQ') for end in ('', '_th', '_st')}
  assert metrics['semantic'] == dict.fromkeys(('mIoU', 'fwIoU', 'mACC', 'pACC'), 100.0)
  assert metrics['bbox']['AP'] == metrics['segm']['AP'] == pytest.approx(100.0)
  assert metrics['protocol'] == 'panoptic' and json.loads((tmp_path / 'run' / 'metrics.json').read_text()) == metrics


def test_results_are_written_in_the_format_of_the_annotations(evaluation, tmp_path):
  run(evaluation(PANOPTIC), sea_from=30)
  results = panoptic.read(str(tmp_path / 'run' / 'panoptic_val.json'))
  assert [each.category_id for each in results.of(8).segments] == [3, 92, 95]
  ids = results.ids(8)
  assert ids.shape == (HEIGHT, WIDTH) and (ids[10, 10], ids[10, 25], ids[10, 35]) == (1, 2, 3)


def test_a_shore_in_another_place_costs_both_kinds_of_stuff(evaluation):
  metrics = run(evaluation(PANOPTIC), sea_from=28)
  pixels = (HEIGHT - 2) * np.array([28, 10]) - [320, 0]  # of sky and sea that are right
  missed = (HEIGHT - 2) * 2
  sky, sea = pixels[0] / (pixels[0] + missed), pixels[1] / (pixels[1] + missed)
  assert metrics['panoptic']['PQ_st'] == pytest.approx(50 * (sky + sea))
  assert metrics['panoptic']['PQ_th'] == 100.0 and metrics['panoptic']['RQ'] == 100.0
  assert metrics['semantic']['mIoU'] == pytest.approx(100 * (1 + sky + sea) / 3)


def test_semantic_maps_are_scored_without_boxes(evaluation):
  def without_boxes(found):
    count = len(found.boxes)
    nothing = {name: np.zeros((count, 0)) for name in ('scores', 'labels', 'valid')}
    return found.replace(boxes=np.zeros((count, 0, 4)), masks=None, **nothing)

  semantic = run(evaluation(SEMANTIC), 28, without_boxes)
  assert semantic['semantic'] == pytest.approx(run(evaluation(PANOPTIC), 28)['semantic'])
  assert semantic['images'] == 2


def test_what_does_not_fit_is_said_in_one_line(evaluation):
  with pytest.raises(ValueError, match='says nothing of the classes of pixels: it needs model.pyramid_tasks.semantic'):
    run(evaluation(SEMANTIC), 30, lambda found: found.replace(semantic=None))
  with pytest.raises(FileNotFoundError, match=r'no semantic map .*nowhere/5\.png: set eval.semantic.dir'):
    run(evaluation(semantic_evaluation('nowhere')), 30)
  other = evaluation(PANOPTIC)
  other.dataset.categories = (*other.dataset.categories, *other.dataset.categories)
  with pytest.raises(ValueError, match='panoptic_val.json and .*instances.json have different categories'):
    run(other, 30)


def check(evaluation, change=lambda found: found):
  """Checks without running; `found` stands for the shapes of the detector's results."""
  _, found = next(batches(30))
  evaluation.config.eval.image_ids = ''
  return find_evaluator(evaluation.config)(evaluation).check(change(found))


@pytest.mark.parametrize('settings', [PANOPTIC, SEMANTIC])
def test_the_metrics_that_will_come_are_known_before(evaluation, settings, tmp_path):
  foreseen = check(evaluation(settings))
  assert list((tmp_path / 'run').iterdir()) == []
  found = run(evaluation(settings), sea_from=30)
  for kind in foreseen:
    assert {name: value is None for name, value in foreseen[kind].items()} == {
      name: value is None for name, value in found[kind].items()
    }


@pytest.mark.parametrize('settings', [PANOPTIC, SEMANTIC])
def test_what_a_detector_lacks_is_known_before(evaluation, settings):
  with pytest.raises(ValueError, match='says nothing of the classes of pixels'):
    check(evaluation(settings), lambda found: found.replace(semantic=None))
  with pytest.raises(ValueError, match=r'model.pyramid_tasks.semantic.num_classes'):
    check(evaluation(settings), lambda found: found.replace(semantic=found.semantic[..., :2]))
  if settings is PANOPTIC:
    with pytest.raises(ValueError, match='the detector has no masks'):
      check(evaluation(settings), lambda found: found.replace(masks=None))


@pytest.mark.parametrize(('settings', 'folder'), [(PANOPTIC, 'panoptic_val'), (SEMANTIC, 'stuff_val')])
def test_every_map_is_read_before(evaluation, settings, folder, tmp_path):
  path = tmp_path / 'data' / folder / '8.png'
  small = Image.open(path).crop((0, 0, WIDTH, HEIGHT - 1))
  path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(ValueError, match=r'8\.png is no complete PNG'):
    check(evaluation(settings))
  small.save(path)
  with pytest.raises(ValueError, match=r'8\.png is of size \(29, 40\), and image 8 of \(30, 40\) in .*instances.json'):
    check(evaluation(settings))
  path.unlink()
  with pytest.raises(FileNotFoundError, match=r'8\.png'):
    check(evaluation(settings))


def test_a_segment_has_an_area(evaluation, tmp_path):
  made = evaluation(PANOPTIC)
  file = tmp_path / 'data' / 'panoptic_val.json'
  content = json.loads(file.read_text())
  del content['annotations'][1]['segments_info'][0]['area']
  file.write_text(json.dumps(content))
  with pytest.raises(ValueError, match='panoptic_val.json: segment 11 of image 8 has no area'):
    check(made)


def test_things_are_compared_by_name_too(evaluation):
  other = evaluation(PANOPTIC)
  renamed = tuple(dataclasses.replace(category, name='bicycle') for category in other.dataset.categories)
  other.dataset.categories = renamed
  with pytest.raises(ValueError, match="panoptic_val.json and .*instances.json .*label 0 is .* and 'bicycle'"):
    run(other, 30)
  other = evaluation(PANOPTIC)
  other.dataset.categories = renamed
  other.config.data.compare_categories = 'ids'
  assert run(other, 30)['images'] == 2


def test_counts_of_several_processes_come_together_on_the_first(tmp_path, monkeypatch):
  monkeypatch.setattr(process_parts, 'barrier', lambda name: None)
  monkeypatch.setattr(process_parts.jax, 'process_count', lambda: 2)
  gathered = {}
  for process in (1, 0):
    monkeypatch.setattr(process_parts.jax, 'process_index', lambda process=process: process)
    gathered[process] = process_parts.gather(str(tmp_path / 'parts'), {'pixels': 3_000_000_000 + process})
  assert gathered == {1: [], 0: [{'pixels': 3_000_000_000}, {'pixels': 3_000_000_001}]}
  assert not (tmp_path / 'parts').exists()


def test_a_semantic_map_that_cannot_be_read_is_named(monkeypatch, tmp_path):
  path = tmp_path / 'map.png'
  path.write_bytes(b'\x89PNG\r\n\x1a\n and no more')
  with pytest.raises(ValueError, match=r'map\.png is no complete PNG'):
    read_map(str(path))
  Image.new('L', (7, 3)).save(path)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
  with pytest.raises(ValueError, match=r'map\.png is no complete PNG \(Image size \(21 pixels\) exceeds limit'):
    read_map(str(path))
