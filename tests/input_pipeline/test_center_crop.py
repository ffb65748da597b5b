"""CornerNet's windows: sides and places, what they keep, their pixels, detection on files as large as they are."""

import jax
import numpy as np
import pytest
from drawn_objects import objects, on_canvas, place_objects, rectangle
from ml_collections import ConfigDict
from PIL import Image

import mini_photos
from configs.parts import datasets
from input_pipeline import center_crop, dataset
from input_pipeline.random_crop import Crop
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement, evaluation_placement, training_placement

SIZE, CANVAS = (60, 80), (50, 50)
# In the left top, and in the right bottom.
BOXES = np.array([[4, 4, 24, 14], [60, 46, 72, 58]], np.float32)


def recipe(**changes) -> ConfigDict:
  resize = datasets.data('shapes', '', (), ())['resize']
  settings = {**resize['center_crop'], 'border': 16, **changes}
  return ConfigDict({**resize, 'name': 'center_crop', 'center_crop': settings})


def draws(count: int, boxes=BOXES, **changes):
  settings = recipe(**changes).center_crop
  return [center_crop.draw(SIZE, CANVAS, boxes, settings, random_stream(0, 1, number)) for number in range(count)]


def test_sides_are_multiples_of_the_canvas_and_middles_keep_away_from_the_border():
  drawn = draws(2000, boxes=np.zeros((0, 4), np.float32))
  sizes = np.array([window.size for window in drawn])
  assert np.unique(sizes, axis=0).tolist() == [[side, side] for side in (30, 35, 40, 45, 50, 55, 60, 65)]
  middles = np.array([window.offset for window in drawn]) + sizes // 2
  assert middles.min(axis=0).tolist() == [16, 16] and middles.max(axis=0).tolist() == [60 - 17, 80 - 17]
  np.testing.assert_allclose(middles.mean(axis=0), [29.5, 39.5], atol=0.8)


@pytest.mark.parametrize('side, expected', [(640, 128), (257, 128), (256, 64), (200, 64), (128, 32), (100, 32), (1, 0)])
def test_a_border_is_halved_for_small_images(side, expected):
  assert center_crop.border_within(128, side) == expected


def test_every_window_has_the_middle_of_an_object():
  for window in draws(500, boxes=BOXES[:1], scales=(0.6, 0.7)):
    (y, x), (height, width) = window.offset, window.size
    assert y < 9 < y + height and x < 14 < x + width


def test_objects_whose_middle_no_window_can_have_do_not_matter():
  outside = np.array([[-10, 4, 4, 10]], np.float32)
  assert len(draws(20, boxes=outside)) == 20


def test_beside_the_image_there_is_ground_and_objects_are_clipped_or_left_out():
  crop = Crop(SIZE, (-20, -10), (50, 50), ground=(124, 116, 104), by_middle=True)
  placement = Placement(SIZE, CANVAS, (0, 0), CANVAS, crop=crop)
  image = Image.fromarray(np.full((*SIZE, 3), 200, np.uint8))
  pixels = on_canvas(image, placement, CANVAS)
  assert (pixels[:20] == (124, 116, 104)).all() and (pixels[:, :10] == (124, 116, 104)).all()
  assert (pixels[20:, 10:] == 200).all()
  found = objects([rectangle(4, 4, 24, 14)], [rectangle(30, 20, 45, 38)], [rectangle(60, 46, 72, 58)])
  placed = place_objects(found, placement, 10, 0)
  placed = placed['boxes']
  assert placed.boxes.tolist() == [[14, 24, 34, 34], [40, 40, 50, 50]] and placed.labels.tolist() == [0, 1]


def test_windows_fill_the_canvas_in_training_and_files_keep_their_size_in_detection():
  settings = recipe()
  placements = [training_placement(SIZE, CANVAS, settings, 0.5, random_stream(0, 1, n), boxes=BOXES) for n in range(40)]
  assert {placement.size for placement in placements} == {CANVAS}
  assert {placement.flipped for placement in placements} == {False, True}
  assert evaluation_placement(SIZE, (90, 90), settings) == Placement(SIZE, SIZE, (0, 0), SIZE)
  small = evaluation_placement(SIZE, (40, 40), settings)
  assert small.shrunk and small.size == (30, 40)


@pytest.mark.parametrize(
  'changes, canvases, message',
  [
    ({}, 2, 'goes with one canvas and without data.resize.crop; here it is on 2'),
    (
      {'center_crop': {'scales': (0.6, 1.29), 'border': 32, 'ground': (0, 0, 0)}},
      1,
      r'border 32 and scales \(0.6, 1.29\): .* 50 pixels',
    ),
  ],
)
def test_settings_that_cannot_be_are_refused(changes, canvases, message):
  with pytest.raises(ValueError, match=message):
    center_crop.check(ConfigDict({**recipe().to_dict(), **changes}), (CANVAS,) * canvases)


def test_the_widest_border_of_the_largest_window_leaves_no_object_out_of_reach():
  settings = {'scales': (0.4, 0.68), 'border': 16}  # sides 20 and 34
  center_crop.check(recipe(**settings), (CANVAS,))
  corners = np.array([[0, 0, 1, 1], [79, 0, 80, 1], [0, 59, 1, 60], [79, 59, 80, 60]], np.float32)
  assert all(len(draws(5, boxes=corners[[index]], **settings)) == 5 for index in range(4))


def config_of(folder, of_file: bool = True, distort: bool = True):
  canvases = {'canvases': ((96, 96),), 'test_canvases': ((240, 240),)}
  config = mini_photos.make_config(folder, mask_size=0, max_vertices=0, **canvases).unlock()
  config.data.resize.name = 'center_crop'
  config.data.resize.center_crop.update(scales=(1.5, 2.5), border=10)  # so that there is ground
  config.data.photometric.update(distort=distort, of_file=of_file)
  return config


def test_batches_of_a_seed_and_a_step_are_the_same_and_ground_keeps_its_colour(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'data', train=6, val=2)

  def batch(start: int, step: int, **colours):
    batches = dataset.build(config_of(folder, **colours)).train_batches(start)
    for _ in range(start, step):
      next(batches)
    return next(batches)

  first = batch(0, 2)
  jax.tree.map(np.testing.assert_array_equal, batch(2, 2), first)
  plain, whole = batch(2, 2, distort=False), batch(2, 2, of_file=False)
  jax.tree.map(np.testing.assert_array_equal, plain.objects, first.objects)
  assert (first.image_size == 96).all()
  ground = (plain.image == (124, 116, 104)).all(-1)
  assert ground.mean() > 0.02 and (first.image[ground] == (124, 116, 104)).mean() > 0.99
  assert (whole.image[ground] != (124, 116, 104)).mean() > 0.3
  assert (plain.image != first.image).any(-1)[~ground].mean() > 0.3


def test_detection_has_a_canvas_of_its_own(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'data', train=6, val=2)
  [batch] = dataset.build(config_of(folder)).eval_batches()
  assert batch.image.shape[1:3] == (240, 240)
  sizes = batch.image_size[batch.valid]
  original = batch.original_size[batch.valid]
  shrunk = np.minimum(1, 240 / original.max(axis=1, keepdims=True))
  np.testing.assert_allclose(sizes, original * shrunk, atol=0.51)
