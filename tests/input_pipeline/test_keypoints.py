"""Keypoints from annotation files to batches."""

import dataclasses
import json

import numpy as np
import pytest
from drawn_objects import objects, rectangle, scene
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import dataset
from input_pipeline.fields.keypoints import Keypoints
from input_pipeline.transforms import Placement
from jaxdet.annotations import columns
from jaxdet.configuration import load_config

EYES = Keypoints(3, ((1, 2),))  # a nose, and eyes that a mirror exchanges
POINTS = np.float32([[[4, 2, 2], [3, 1, 2], [5, 1, 1]]])
TWICE = Placement(file_size=(10, 20), resized_size=(20, 40), crop_offset=(0, 0), size=(20, 40))


def place(placement, points=POINTS):
  count = len(points)
  shapes = dataclasses.replace(objects(*[[rectangle(1, 1, 9, 9)]] * count), keypoints=points)
  return EYES.place(scene(shapes, placement), np.arange(count)).points


def test_points_are_the_middles_of_their_pixels():
  np.testing.assert_array_equal(place(TWICE), [[[9, 5, 2], [7, 3, 2], [11, 3, 1]]])


def test_a_mirror_exchanges_pairs():
  found = place(dataclasses.replace(TWICE, flipped=True))
  np.testing.assert_array_equal(found, [[[31, 5, 2], [29, 3, 1], [33, 3, 2]]])


def test_points_outside_and_unknown_ones_are_not_known():
  window = Placement((10, 20), (20, 40), (0, 8), (20, 20))  # x of 0 .. 8 is cut off
  points = POINTS.copy()
  points[0, 0, 2] = 0
  np.testing.assert_array_equal(place(window, points), [[[0, 0, 0], [0, 0, 0], [3, 3, 1]]])


def test_no_objects():
  assert place(TWICE, POINTS[:0]).shape == (0, 3, 3)


@pytest.mark.parametrize('pairs', [((0, 1), (1, 2)), ((1, 3),), ((1, 1),)])
def test_pairs_that_cannot_be(pairs):
  with pytest.raises(ValueError, match=r'data.keypoints.flip_pairs .*: give pairs of different points of 0 .. 2'):
    Keypoints.of(ConfigDict({'keypoints': {'points': 3, 'flip_pairs': pairs}}), 1)


def write(folder, keypoints):
  """Two images with an object each, with or without these keypoints."""
  content = {
    'images': [{'id': i, 'height': 10, 'width': 20, 'file_name': f'{i}.png'} for i in (1, 2)],
    'categories': [{'id': 1, 'name': 'person'}],
    'annotations': [
      {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [1, 1, 8, 8], 'area': 64, **more}
      for i, more in zip((1, 2), keypoints, strict=True)
    ],
  }
  for image in content['images']:
    Image.new('RGB', (20, 10)).save(folder / image['file_name'])
  for split in ('train', 'val'):
    (folder / f'{split}.json').write_text(json.dumps(content))
  return str(folder / 'train.json')


def make_config(folder, points=3):
  config = load_config('configs/detectron2/faster_rcnn.py').unlock()
  config.data.update(dir=str(folder), mask_size=0, max_vertices=0, max_objects=4, canvases=((20, 40), (40, 20)))
  config.data.resize.update(sizes=(20,), max_size=40, test_size=20)
  config.data.keypoints = {'points': points, 'flip_pairs': ((1, 2),)}
  config.data.flip = 0.0
  config.train.batch_size = 2
  return config.lock()


FLAT = POINTS.ravel().tolist()


def test_from_the_file_to_the_batch(tmp_path):
  write(tmp_path, [{}, {'keypoints': FLAT}])
  batch = next(dataset.build(make_config(tmp_path)).train_batches(0))
  found = {index: points for index, points in zip(batch.index.tolist(), batch.objects.keypoints, strict=True)}
  np.testing.assert_array_equal(found[1][0], place(TWICE)[0])
  assert found[0].shape == (4, 3, 3) and not found[0].any() and batch.objects.valid[:, 0].all()


def test_annotations_without_keypoints_are_an_error(tmp_path):
  path = write(tmp_path, [{}, {}])
  assert columns.read(path).keypoints is None
  with pytest.raises(ValueError, match=r'train.json has nothing for objects/keypoints of records'):
    dataset.build(make_config(tmp_path))


def test_another_number_of_keypoints_is_an_error(tmp_path):
  write(tmp_path, [{'keypoints': FLAT}] * 2)
  with pytest.raises(ValueError, match=r'data.keypoints.points is 4, and objects of .*train.json have 3: set it to'):
    dataset.build(make_config(tmp_path, points=4))


@pytest.mark.parametrize(
  ('second', 'message'),
  [
    (FLAT + [1, 1, 2], 'has 12 numbers for keypoints: expected 9, as before'),
    (FLAT[:-1], r'has keypoints \[.*\]: expected a list of x, y and visibility of each point'),
  ],
)
def test_objects_with_different_numbers_are_an_error(second, message, tmp_path):
  path = write(tmp_path, [{'keypoints': FLAT}, {'keypoints': second}])
  with pytest.raises(ValueError, match=f'annotation 2 {message}'):
    columns.read(path)
