"""Maps of images without annotations: files of classes and segments, and a picture of them."""

import json
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from test_pixel_evaluators import BOX, HEIGHT, WIDTH, batches

from jaxdet.annotations import panoptic
from jaxdet.evaluation.predict import predict
from jaxdet.structures import Category
from jaxdet.visualization.draw import colour
from jaxdet.visualization.draw_map import draw_map

SEA = 30  # column from which there is sea, class 2; before it is sky, class 1
MERGING = {'score_threshold': 0.5, 'overlap': 0.5, 'stuff_area': 50}


@pytest.fixture
def predicted(monkeypatch, tmp_path):
  """A function from `config.model.test` to the folder of results of two images."""
  monkeypatch.setattr(sys.modules['jaxdet.evaluation.predict'], 'infer', lambda *_: batches(SEA))
  paths = [str(tmp_path / name) for name in ('beach.png', 'pier.png')]
  for path in paths:
    Image.new('RGB', (WIDTH, HEIGHT), (90, 90, 90)).save(path)

  def run(test):
    config = ConfigDict({'model': {'test': test}, 'eval': {'picture_threshold': 0.3}})
    predict(config, None, {}, [Category(3, 'kite')], [], paths, Image.open, str(tmp_path / 'out'))
    return tmp_path / 'out'

  return run


def test_classes_and_segments_of_every_pixel_are_written(predicted):
  out = predicted({'panoptic': MERGING})
  classes = np.asarray(Image.open(out / 'beach_semantic.png'))
  assert classes.shape == (HEIGHT, WIDTH) and classes[0, 0] == 1 and classes[0, SEA + 2] == 2
  ids = panoptic.read_ids(str(out / 'beach_panoptic.png'))
  first, second = json.loads((out / 'panoptic.json').read_text())
  assert first['png'] == 'beach_panoptic.png' and second['file_name'].endswith('pier.png')
  found = {(each['isthing'], each['category_id']): each for each in first['segments_info']}
  assert set(found) == {(1, 3), (0, 1), (0, 2)}
  kite = found[1, 3]
  assert (ids == kite['id']).sum() == kite['area'] and ids[BOX[1] + 5, BOX[0] + 5] == kite['id']
  assert kite['score'] == pytest.approx(0.9)
  assert np.asarray(Image.open(out / 'beach_map.jpg')).std() > 20  # something has been drawn


def test_without_merging_there_are_classes_alone(predicted):
  names = sorted(path.name for path in predicted({}).iterdir())
  expected = [f'{name}_{end}' for name in ('beach', 'pier') for end in ('detections.jpg', 'map.jpg', 'semantic.png')]
  assert names == sorted([*expected, 'predictions.json'])


def test_values_without_a_colour_keep_the_pixels_and_white_lines_part_values():
  values = np.zeros((6, 8), int)
  values[:, 4:] = 7
  drawn = draw_map(np.full((6, 8, 3), 100, np.uint8), values, {7: colour(7)})
  assert (drawn[:, :3] == 100).all() and (drawn[:, 3] == 255).all()
  expected = np.round(100 * 0.45 + np.array(colour(7)) * 0.55)
  np.testing.assert_array_equal(drawn[0, 5], expected)
