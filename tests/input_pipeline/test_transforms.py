import dataclasses

import numpy as np
import pytest
from drawn_objects import bits, objects, on_canvas, place_objects, rectangle
from ml_collections import ConfigDict
from PIL import Image
from pycocotools import mask as coco_mask

from configs.parts import datasets
from input_pipeline import transforms
from input_pipeline.fields.scene import place_boxes
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement, evaluation_placement

SHORTEST_EDGE = ConfigDict(
  {
    'name': 'shortest_edge',
    'sizes': (60, 80),
    'test_size': 80,
    'max_size': 133,
    'jitter': (0.1, 2.0),
    'crop': {'probability': 0.0, 'sizes': (40, 50, 60), 'max_size': 133, 'range': (38, 60)},
    'window': datasets.windows(expand_probability=0.0, min_ious=()),
  }
)
JITTER = ConfigDict({**SHORTEST_EDGE.to_dict(), 'name': 'large_scale_jitter'})


TWICE = Placement(file_size=(20, 30), resized_size=(40, 60), crop_offset=(0, 0), size=(40, 60))
TWICE_FLIPPED = dataclasses.replace(TWICE, flipped=True)


def test_boxes_are_scaled_flipped_and_clipped():
  boxes = np.array([[1, 2, 5, 8], [-3, 10, 31, 25]], np.float32)
  np.testing.assert_array_equal(place_boxes(boxes, TWICE), [[2, 4, 10, 16], [0, 20, 60, 40]])
  np.testing.assert_array_equal(place_boxes(boxes, TWICE_FLIPPED), [[50, 4, 58, 16], [0, 20, 60, 40]])


def test_crops_come_before_the_flip():
  cropped = Placement(file_size=(20, 30), resized_size=(40, 60), crop_offset=(10, 20), size=(30, 40), flipped=True)
  # x: 12..14 of the file is 24..28 resized, 4..8 cropped, 32..36 flipped.
  np.testing.assert_array_equal(place_boxes(np.array([[12, 6, 14, 9]], np.float32), cropped), [[32, 2, 36, 8]])


def test_the_image_lies_top_left_on_zeros():
  image = Image.fromarray(np.full((20, 30, 3), 7, np.uint8))
  pixels = on_canvas(image, TWICE, canvas=(50, 64))
  assert pixels.shape == (50, 64, 3)
  assert (pixels[:40, :60] == 7).all() and pixels.sum() == 40 * 60 * 3 * 7


def test_a_flip_mirrors_pixels_boxes_and_bits_alike():
  # One white object on black: its pixels, its box and its bits must tell the same story.
  image = np.zeros((20, 30, 3), np.uint8)
  image[3:9, 5:17] = 255
  shapes = objects([rectangle(5, 3, 17, 9)])
  for placement in (TWICE, TWICE_FLIPPED):
    white = on_canvas(Image.fromarray(image), placement, (40, 60))[..., 0] > 127
    placed = place_objects(shapes, placement, max_objects=1, mask_size=32)
    rows, columns = np.nonzero(white)
    np.testing.assert_allclose(
      placed['boxes'].boxes[0], [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=0.01
    )
    x, y = placed['masks'].windows[0, :2].astype(int)
    expected = np.pad(white, ((0, 32), (0, 32)))[y : y + 32, x : x + 32]
    np.testing.assert_array_equal(bits(placed)[0], expected)


def test_crowds_and_objects_without_mask_are_left_out():
  boxes = [[1, 1, 5, 5], [2, 2, 9, 9], [3, 3, 6, 6]]
  shapes = objects([rectangle(*boxes[0])], [rectangle(*boxes[1])], [], boxes=boxes, crowds=[1, 0, 0])
  placed = place_objects(shapes, TWICE, max_objects=3, mask_size=16)
  assert placed.labels.tolist() == [1]
  assert placed.left_out['objects_without_mask'] == 1
  boxes_only = place_objects(shapes, TWICE, max_objects=3, mask_size=0)
  assert boxes_only.labels.tolist() == [1, 2]
  assert 'objects_without_mask' not in boxes_only.left_out


def test_objects_beyond_the_room_are_counted():
  placed = place_objects(objects(*[[rectangle(i, 1, i + 4, 5)] for i in range(5)]), TWICE, 3, 16)
  assert placed.labels.tolist() == [0, 1, 2]
  assert placed.left_out['objects_beyond_max_objects'] == 2


def test_no_objects():
  placed = place_objects(objects(), TWICE, max_objects=2, mask_size=16)
  assert placed['boxes'].boxes.shape == (0, 4)
  assert placed['masks'].bits.shape == (0, 16, 2)


def test_boxes_without_extent_are_dropped():
  shapes = objects([rectangle(1, 1, 5, 5)], [rectangle(2, 2, 9, 9)], boxes=[[40, 1, 50, 5], [2, 2, 9, 9]])
  placed = place_objects(shapes, TWICE, max_objects=2, mask_size=16)
  assert placed.labels.tolist() == [1]


def test_a_crop_cuts_objects_and_draws_their_boxes_anew():
  # The window 10..40 x 0..20 of the file, unscaled; the triangle's tip alone lies in it.
  window = Placement((40, 60), (40, 60), (0, 10), (20, 30), tight_boxes=True)
  triangle = [(0, 0), (20, 0), (0, 20)]
  shapes = objects([triangle], [rectangle(45, 5, 50, 9)], [rectangle(15, 5, 50, 30)])
  placed = place_objects(shapes, window, max_objects=3, mask_size=32)
  assert placed.labels.tolist() == [0, 2]
  np.testing.assert_allclose(placed['boxes'].boxes, [[0, 0, 10, 10], [5, 5, 30, 20]], atol=1e-5)
  assert bits(placed)[1].sum() == 25 * 15


def test_run_length_masks_follow_the_image():
  mask = np.zeros((20, 30), np.uint8, order='F')
  mask[3:9, 5:17] = 1
  shapes = objects([], [rectangle(5, 3, 17, 9)], boxes=[[5, 3, 17, 9]] * 2, rle=[coco_mask.encode(mask)['counts'], b''])
  for placement in (TWICE, TWICE_FLIPPED):
    placed = place_objects(shapes, placement, max_objects=2, mask_size=32)
    assert placed.left_out['objects_without_mask'] == 0
    assert bits(placed)[0].sum() == 24 * 12
    np.testing.assert_array_equal(bits(placed)[0], bits(placed)[1])


@pytest.mark.parametrize('flipped', [False, True])
def test_a_part_of_a_placement_is_that_part_of_its_image(flipped):
  pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
  image = Image.fromarray(np.asarray(Image.fromarray(pixels).resize((300, 200), Image.Resampling.BICUBIC)))
  whole = Placement((200, 300), (80, 120), (10, 20), (60, 90), flipped=flipped)
  part = transforms.part(whole, (7, 11), (40, 50))
  expected = on_canvas(image, whole, (60, 90))[7:47, 11:61]
  assert np.abs(on_canvas(image, part, (40, 50)).astype(int) - expected).max() <= 1
  boxes = np.array([[130, 80, 190, 120]], np.float32)
  np.testing.assert_allclose(place_boxes(boxes, part), place_boxes(boxes, whole) - [11, 7, 11, 7], rtol=1e-6)


def test_a_placement_is_cut_at_random_places():
  stream = random_stream(0, 1, 0)
  assert transforms.cut(TWICE, (50, 60), stream) == TWICE
  cuts = [transforms.cut(TWICE_FLIPPED, (50, 20), random_stream(0, 1, number)) for number in range(200)]
  assert {(placement.size, placement.tight_boxes, placement.flipped) for placement in cuts} == {((40, 20), True, True)}
  assert {placement.crop_offset[0] for placement in cuts} == {0}
  assert min(placement.crop_offset[1] for placement in cuts) == 0
  assert max(placement.crop_offset[1] for placement in cuts) == 40


def test_evaluation_is_without_chance():
  placement = evaluation_placement((48, 64), (80, 134), SHORTEST_EDGE)
  assert placement == Placement((48, 64), (80, 107), (0, 0), (80, 107))


def test_an_image_that_does_not_fit_is_made_smaller():
  placement = evaluation_placement((64, 48), (80, 134), SHORTEST_EDGE)
  assert placement.size == (80, 60) and placement.shrunk


def test_training_draws_sizes_and_flips():
  def draw(number):
    return transforms.training_placement((48, 64), (80, 134), SHORTEST_EDGE, 0.5, random_stream(0, 1, number))

  assert draw(3) == draw(3)
  drawn = [draw(number) for number in range(400)]
  assert {placement.size for placement in drawn} == {(60, 80), (80, 107)}
  assert abs(np.mean([placement.flipped for placement in drawn]) - 0.5) < 0.1
  assert abs(np.mean([placement.size == (60, 80) for placement in drawn]) - 0.5) < 0.1


def test_large_scale_jitter_fills_or_cuts():
  canvas = (64, 64)
  drawn = [
    transforms.training_placement((48, 60), canvas, JITTER, 0.0, random_stream(0, 1, number)) for number in range(400)
  ]
  scales = np.array([placement.resized_size[1] / 64 for placement in drawn])
  assert 0.09 < scales.min() < 0.15 and 1.95 < scales.max() <= 2.0
  assert abs(scales.mean() - 1.05) < 0.1
  for placement in drawn:
    assert placement.size == (min(placement.resized_size[0], 64), min(placement.resized_size[1], 64))
    end = np.add(placement.crop_offset, placement.size)
    assert (end <= placement.resized_size).all() and min(placement.crop_offset) >= 0
  assert max(placement.crop_offset[1] for placement in drawn) > 50


def test_an_image_may_be_stretched_to_its_canvas():
  stretch = ConfigDict({**SHORTEST_EDGE.to_dict(), 'name': 'stretch'})
  placement = evaluation_placement((20, 40), (60, 60), stretch)
  assert placement.size == placement.resized_size == (60, 60) and not placement.flipped
  np.testing.assert_allclose(place_boxes(np.array([[4, 5, 20, 10]], np.float32), placement), [[6, 15, 30, 30]])
  placement = transforms.training_placement((20, 40), (60, 60), stretch, 1.0, random_stream(0, 1, 0))
  assert placement.size == (60, 60) and placement.flipped


def test_an_unknown_recipe_is_named():
  recipe = ConfigDict({**SHORTEST_EDGE.to_dict(), 'name': 'mosaic'})
  with pytest.raises(ValueError, match="'mosaic'.*shortest_edge"):
    transforms.training_placement((4, 4), (8, 8), recipe, 0.5, random_stream(0, 1, 0))


@pytest.mark.parametrize(
  ('ignore', 'left'),
  [
    ({'marked': False, 'min_side': 0}, [0, 1, 3]),
    ({'marked': True, 'min_side': 0}, [0, 3]),
    ({'marked': False, 'min_side': 6}, [0, 1]),
    ({'marked': True, 'min_side': 5}, [0, 3]),
  ],
)
def test_training_leaves_out_marked_and_small_objects_and_crowds(ignore, left):
  boxes = [(0, 0, 10, 10), (0, 0, 8, 9), (0, 0, 9, 9), (20, 20, 40, 25)]
  annotated = objects(*([rectangle(*box)] for box in boxes), crowds=[0, 0, 1, 0], ignored=[0, 1, 0, 0])
  placed = place_objects(annotated, Placement((50, 50), (50, 50), (0, 0), (50, 50)), 10, 0, ignore)
  assert placed.labels.tolist() == left
