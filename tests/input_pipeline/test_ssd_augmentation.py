"""SSD's windows on images: their places, what they keep, their pixels, and settings that cannot be."""

import jax
import numpy as np
import pytest
from drawn_objects import objects, on_canvas, place_objects, rectangle
from ml_collections import ConfigDict
from PIL import Image

import mini_photos
from configs.parts import datasets
from input_pipeline import dataset, ssd_augmentation
from input_pipeline.random_crop import Crop
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement, evaluation_placement, training_placement

SIZE, CANVAS = (60, 80), (30, 30)
MIN_IOUS = (0.1, 0.3, 0.5, 0.7, 0.9)
# The right one of 16 x 32 pixels, the other small.
BOXES = np.array([[40, 20, 72, 36], [4, 4, 12, 14]], np.float32)


def recipe(**window) -> ConfigDict:
  resize = datasets.data('shapes', '', (), ())['resize']
  settings = datasets.windows(**{'expand_probability': 0.0, 'min_ious': ()} | window)
  return ConfigDict({**resize, 'name': 'stretch', 'window': settings})


def draws(count: int, boxes=BOXES, **window):
  settings = recipe(**window).window
  return [ssd_augmentation.draw(SIZE, boxes, settings, random_stream(0, 1, number)) for number in range(count)]


def test_half_of_the_images_are_expanded_up_to_four_times_and_lie_anywhere_on_the_ground():
  drawn = draws(2000, expand_probability=0.5)
  windows = [window for window in drawn if window]
  assert abs(len(windows) / len(drawn) - 0.5) < 0.03
  ratios = np.array([np.divide(window.size, SIZE) for window in windows])
  assert 1 <= ratios.min() < 1.1 and 3.9 < ratios.max() <= 4
  np.testing.assert_allclose(ratios[:, 0], ratios[:, 1], atol=1 / 30)
  np.testing.assert_allclose(ratios.mean(), 2.5, atol=0.06)
  before = -np.array([window.offset for window in windows])
  after = np.array([window.size for window in windows]) - SIZE - before
  assert before.min() >= 0 and after.min() >= 0
  np.testing.assert_allclose(before.mean(axis=0), after.mean(axis=0), rtol=0.08)


def test_parts_lie_in_the_image_are_no_narrower_than_one_to_two_and_hold_a_middle():
  drawn = draws(1000, min_ious=MIN_IOUS)
  windows = [window for window in drawn if window]
  # The small object makes all rules but two impossible: the whole, and any part.
  assert abs(len(windows) / len(drawn) - 0.5) < 0.05
  for window in windows:
    (y, x), (height, width) = window.offset, window.size
    assert y >= 0 and x >= 0 and y + height <= SIZE[0] and x + width <= SIZE[1]
    assert height >= int(0.3 * SIZE[0]) and width >= int(0.3 * SIZE[1])
    assert 0.5 - 0.05 <= height / width <= 2 + 0.1  # of whole pixels
    assert ssd_augmentation.has_middle(BOXES, np.array([[x, y, x + width, y + height]])).any()


@pytest.mark.parametrize('least', [0.3, 0.5])
def test_parts_overlap_every_object_by_the_rule(least):
  large = np.array([[10, 5, 70, 55]], np.float32)
  windows = [window for window in draws(600, large, min_ious=(least,)) if window]
  kept = np.array([iou(window, large[0]) >= least for window in windows])
  by_chance = np.array([iou(window, large[0]) >= least for window in draws(600, large, min_ious=(1e-9,)) if window])
  # Half of the parts come from the rule, and half from that any part will do.
  np.testing.assert_allclose(kept.mean(), (1 + by_chance.mean()) / 2, atol=0.06)


def iou(window: Crop, box) -> float:
  (y, x), (height, width) = window.offset, window.size
  x1, y1, x2, y2 = box
  both = max(min(x2, x + width) - max(x1, x), 0) * max(min(y2, y + height) - max(y1, y), 0)
  return both / (height * width + (x2 - x1) * (y2 - y1) - both)


def test_an_image_without_objects_is_shown_in_any_part():
  sizes = {window.size for window in draws(50, BOXES[:0], min_ious=MIN_IOUS) if window}
  assert len(sizes) > 30


def test_a_number_draws_the_same_window_again():
  assert draws(20, expand_probability=0.5, min_ious=MIN_IOUS) == draws(20, expand_probability=0.5, min_ious=MIN_IOUS)


def test_objects_whose_middle_lies_outside_are_left_out_and_the_others_clipped():
  # Pixels 36..76 x 16..56 of the file, twice as large.
  crop = Crop(SIZE, (16, 36), (40, 40), ground=(1, 2, 3), by_middle=True)
  placement = Placement(SIZE, (80, 80), (0, 0), (80, 80), crop=crop)
  shapes = objects([rectangle(40, 20, 72, 36)], [rectangle(20, 20, 50, 36)], [rectangle(60, 30, 88, 40)])
  placed = place_objects(shapes, placement, max_objects=3, mask_size=0)
  assert placed['boxes'].boxes.tolist() == [[8, 8, 72, 40], [48, 28, 80, 48]]


@pytest.mark.parametrize('flipped', [False, True])
def test_beyond_the_file_is_the_ground_and_boxes_follow_the_pixels(flipped):
  image = np.zeros((*SIZE, 3), np.uint8)
  image[20:36, 40:72] = 255
  crop = Crop(SIZE, (-30, -20), (120, 160), ground=(9, 9, 9), by_middle=True)
  placement = Placement(SIZE, (60, 80), (0, 0), (60, 80), flipped=flipped, crop=crop)
  pixels = on_canvas(Image.fromarray(image), placement, (60, 80))
  assert (pixels[:14] == 9).all() and (pixels[46:] == 9).all()
  rows, columns = np.nonzero(pixels[..., 0] > 127)
  placed = place_objects(objects([rectangle(40, 20, 72, 36)]), placement, max_objects=1, mask_size=0)
  extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
  np.testing.assert_allclose(placed['boxes'].boxes[0], extent, atol=0.01)


def test_an_image_is_stretched_to_the_canvas_whole_in_evaluation_and_without_windows():
  whole = Placement(SIZE, CANVAS, (0, 0), CANVAS)
  assert evaluation_placement(SIZE, CANVAS, recipe(expand_probability=1.0, min_ious=MIN_IOUS)) == whole
  assert training_placement(SIZE, CANVAS, recipe(), 0.0, random_stream(0, 1, 0), boxes=BOXES) == whole
  placed = place_objects(objects([rectangle(40, 20, 72, 36)]), whole, max_objects=1, mask_size=0)
  np.testing.assert_allclose(placed['boxes'].boxes, [[15, 10, 27, 18]], rtol=1e-6)


def test_windows_fill_the_canvas_too():
  settings = recipe(expand_probability=1.0, min_ious=MIN_IOUS)
  placements = [training_placement(SIZE, CANVAS, settings, 0.5, random_stream(0, 1, n), boxes=BOXES) for n in range(40)]
  assert {placement.size for placement in placements} == {CANVAS}
  assert {placement.flipped for placement in placements} == {False, True}
  assert len({placement.crop for placement in placements}) > 30


@pytest.mark.parametrize(
  'changes, canvases, message',
  [
    ({'name': 'shortest_edge'}, 1, "belongs to data.resize.name 'stretch' on one canvas"),
    ({}, 2, "'stretch' on 2"),
  ],
)
def test_settings_that_cannot_be_are_refused(changes, canvases, message):
  with pytest.raises(ValueError, match=message):
    ssd_augmentation.check(ConfigDict({**recipe(min_ious=MIN_IOUS).to_dict(), **changes}), canvases)


def test_batches_of_a_seed_and_a_step_are_the_same_and_colours_move_no_window(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'data', train=6, val=1)

  def batch(start: int, step: int, photometric: bool, seed: int = 0):
    config = mini_photos.make_config(folder, mask_size=0, max_vertices=0, canvases=((96, 96),)).unlock()
    windows = {'expand_probability': 0.5, 'min_ious': MIN_IOUS}
    config.data.resize.update({'name': 'stretch', 'window': {**config.data.resize.window, **windows}})
    config.data.photometric.distort = photometric
    config.seed = seed
    batches = dataset.build(config).train_batches(start)
    for _ in range(start, step):
      next(batches)
    return next(batches)

  first = batch(0, 2, photometric=True)
  jax.tree.map(np.testing.assert_array_equal, batch(2, 2, photometric=True), first)
  plain = batch(2, 2, photometric=False)
  jax.tree.map(np.testing.assert_array_equal, plain.objects, first.objects)
  assert (plain.image != first.image).any() and (first.image_size == 96).all()
  assert (batch(2, 2, photometric=True, seed=1).image != first.image).any()
