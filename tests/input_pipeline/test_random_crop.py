"""DETR's crop, against its definition in Detectron2 and mmdetection restated step by step."""

import dataclasses

import numpy as np
import pytest
from drawn_objects import bits, objects, on_canvas, place_objects, rectangle
from ml_collections import ConfigDict
from PIL import Image

import mini_photos
from input_pipeline import dataset, random_crop
from input_pipeline.fields.scene import place_boxes
from input_pipeline.random_crop import Crop
from input_pipeline.resize import resize, shortest_edge_size
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement, place_image

RECIPE = ConfigDict(
  {
    'name': 'shortest_edge',
    'sizes': (48, 64, 80),
    'test_size': 80,
    'max_size': 133,
    'crop': {'probability': 0.5, 'sizes': (40, 50, 60), 'max_size': 420, 'range': (38, 60)},
  }
)
WIDE = (48, 64)
# The file at 60 x 90, of which 40 x 30 from (10, 20) on are shown at 80 x 60.
CROPPED = Placement((20, 30), (80, 60), (0, 0), (80, 60), crop=Crop((60, 90), (10, 20), (40, 30)))


def draws(count, tall=None, file_size=WIDE, recipe=RECIPE):
  return [random_crop.draw(file_size, recipe, tall, random_stream(0, 1, number)) for number in range(count)]


def test_half_of_the_images_are_cropped_by_upstreams_sizes():
  drawn = draws(3000)
  crops = [crop for crop in drawn if crop]
  assert abs(len(crops) / len(drawn) - 0.5) < 0.03
  assert {crop.resized_size for crop in crops} == {(40, 53), (50, 67), (60, 80)}
  for resized in ((40, 53), (60, 80)):
    sizes = np.array([crop.size for crop in crops if crop.resized_size == resized])
    assert sizes.min(axis=0).tolist() == [38, 38]
    assert sizes.max(axis=0).tolist() == [min(resized[0], 60), min(resized[1], 60)]
    np.testing.assert_allclose(sizes.mean(axis=0), (sizes.min(axis=0) + sizes.max(axis=0)) / 2, atol=1.0)
  ends = np.array([np.subtract(crop.resized_size, crop.size) - crop.offset for crop in crops])
  starts = np.array([crop.offset for crop in crops])
  assert ends.min() == starts.min() == 0
  np.testing.assert_allclose(starts.mean(axis=0), ends.mean(axis=0), atol=0.6)


def test_an_image_smaller_than_the_range_is_taken_whole_along_that_side():
  recipe = ConfigDict({**RECIPE.to_dict(), 'crop': {**RECIPE.crop.to_dict(), 'probability': 1.0, 'max_size': 50}})
  crops = draws(20, file_size=(30, 90), recipe=recipe)  # 17 x 50 after the resize
  assert {(crop.resized_size, crop.size[0], crop.offset[0]) for crop in crops} == {((17, 50), 17, 0)}
  assert min(crop.size[1] for crop in crops) >= 38


def test_the_probability_of_a_tall_image_is_that_of_its_draws():
  # By hand: 38 x 38 .. 38 x 40 of a file of 38 x 40 pixels; of three widths one is no larger than the height.
  recipe = ConfigDict(
    {**RECIPE.to_dict(), 'crop': {'probability': 0.5, 'sizes': (38,), 'max_size': 99, 'range': (38, 60)}}
  )
  np.testing.assert_allclose(random_crop.tall_probability(np.array([[38, 40], [40, 38]]), recipe), [0.5 / 3, 1.0])
  sizes = np.array([WIDE, (64, 48), (48, 48), WIDE, (20, 64)])
  found = random_crop.tall_probability(sizes, RECIPE)
  assert found[0] == found[3]
  for size, probability in zip(map(tuple, sizes), found, strict=True):
    drawn = [random_crop.is_tall(crop.size if crop else size) for crop in draws(1500, file_size=size)]
    assert abs(np.mean(drawn) - probability) < 0.04, size


def test_drawing_the_canvas_first_changes_no_distribution():
  tall = random_crop.tall_probability(np.array([WIDE]), RECIPE)[0]
  both = [(crop.size if crop else WIDE) for crop in draws(3000)]
  by_canvas = [[(crop.size if crop else WIDE) for crop in draws(1500, tall)] for tall in (False, True)]
  assert all(random_crop.is_tall(size) == tall for tall in (False, True) for size in by_canvas[tall])
  mean = (1 - tall) * np.mean(by_canvas[0], axis=0) + tall * np.mean(by_canvas[1], axis=0)
  np.testing.assert_allclose(mean, np.mean(both, axis=0), atol=0.6)


def test_boxes_go_through_both_steps():
  boxes = np.array([[8, 5, 14, 10], [0, 0, 9, 20], [1, 1, 6, 4]], np.float32)
  # Resized by 3, moved by (-20, -10) and clipped to 30 x 40, resized by 2.
  stepwise = 2 * (3 * boxes - [20, 10, 20, 10]).clip(0, [30, 40, 30, 40])
  np.testing.assert_allclose(place_boxes(boxes, CROPPED), stepwise)
  mirrored = dataclasses.replace(CROPPED, flipped=True)
  np.testing.assert_allclose(
    place_boxes(boxes, mirrored), np.array([60, 0, 60, 0]) + [-1, 1, -1, 1] * stepwise[:, [2, 1, 0, 3]]
  )


@pytest.mark.parametrize('flipped', [False, True])
def test_pixels_boxes_and_bits_tell_the_same_story(flipped):
  image = np.zeros((20, 30, 3), np.uint8)
  image[5:10, 8:14] = 255
  placement = dataclasses.replace(CROPPED, flipped=flipped)
  white = on_canvas(Image.fromarray(image), placement, (80, 64))[:, :60, 0] > 127
  placed = place_objects(objects([rectangle(8, 5, 14, 10)]), placement, max_objects=1, mask_size=64)
  rows, columns = np.nonzero(white)
  found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
  np.testing.assert_allclose(placed['boxes'].boxes[0], found, atol=1.01)
  assert bits(placed)[0].sum() == pytest.approx(white.sum(), rel=0.06)


def test_objects_outside_the_part_are_dropped_and_others_clipped():
  # The part shows x 6.67 to 16.67 and y 3.33 to 16.67 of the file: the corner of the triangle's box, not the triangle.
  triangle = [(0, 0), (9, 0), (0, 9)]
  shapes = objects([rectangle(0, 0, 6, 20)], [rectangle(12, 10, 29, 19)], [triangle])
  boxes_alone = place_objects(shapes, CROPPED, max_objects=3, mask_size=0)
  assert boxes_alone.labels.tolist() == [1, 2]
  np.testing.assert_allclose(boxes_alone['boxes'].boxes, [[32, 40, 60, 80], [0, 0, 14, 34]], atol=1e-5)
  with_masks = place_objects(shapes, CROPPED, max_objects=3, mask_size=128)
  assert with_masks.labels.tolist() == [1] and with_masks.left_out['objects_without_mask'] == 0
  np.testing.assert_allclose(
    with_masks['boxes'].boxes, [[32, 40, 60, 80]], atol=1e-5
  )  # the annotated box, not a new one
  assert bits(with_masks)[0].sum() == 28 * 40


def test_crowds_count_for_nothing_in_a_part():
  shapes = objects([rectangle(8, 5, 14, 10)], [rectangle(8, 5, 14, 10)], crowds=[1, 0])
  assert place_objects(shapes, CROPPED, max_objects=3, mask_size=0).labels.tolist() == [1]


def test_pixels_are_those_of_two_resizes():
  image = Image.open(parity_photo())
  size = (image.height, image.width)
  rng = np.random.default_rng(0)
  for _ in range(3):
    first = shortest_edge_size(size, int(rng.choice((200, 250, 300))), 2100)
    part = tuple(int(rng.integers(min(side, 192), min(side, 300) + 1)) for side in first)
    y, x = offset = tuple(int(rng.integers(whole - cut + 1)) for whole, cut in zip(first, part, strict=True))
    last = shortest_edge_size(part, 320, 667)
    upstream = resize(resize(image, first).crop((x, y, x + part[1], y + part[0])), last)
    found = np.zeros((*last, 3), np.uint8)
    place_image(image, Placement(size, last, (0, 0), last, crop=Crop(first, offset, part)), found)
    difference = np.abs(np.asarray(upstream).astype(int) - found)
    assert difference.max() <= 3 and difference.mean() < 0.1


def parity_photo():
  folder = mini_photos.parity_kit.photos() / 'mini_lvis' / 'images'
  return min(path for path in folder.rglob('*.jpg'))


def crop_config(folder):
  config = mini_photos.make_config(folder, mask_size=0, max_vertices=0).unlock()
  config.data.resize.crop.update(probability=0.5, sizes=(80, 100, 120), max_size=840, range=(77, 120))
  return config.lock()


def test_batches_hold_parts_on_the_canvas_of_their_orientation(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'photos', train=16, val=2)
  cropping = dataset.build(crop_config(folder))
  other, sizes, objects_seen = 0, set(), 0
  for _, batch in zip(range(24), cropping.train_batches(0), strict=False):
    shape = batch.image.shape[1:3]
    assert (batch.image_size <= shape).all()
    assert ((batch.image_size[:, 1] <= batch.image_size[:, 0]) == (shape[0] > shape[1])).all()
    other += ((batch.original_size[:, 1] <= batch.original_size[:, 0]) != (shape[0] > shape[1])).sum()
    sizes |= set(map(tuple, batch.image_size.tolist()))
    boxes = batch.objects.boxes[batch.objects.valid]
    limits = np.repeat(batch.image_size, batch.objects.valid.sum(axis=1), axis=0)[:, ::-1]
    assert (boxes >= 0).all() and (boxes[:, 2:] <= limits + 1e-3).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    objects_seen += batch.objects.valid.sum()
  assert cropping.counters()['images_shrunk_to_canvas'] == 0
  assert other > 5 and len(sizes) > 30 and objects_seen > 100
  again = next(cropping.train_batches(7))
  np.testing.assert_array_equal(again.image, next(dataset.build(crop_config(folder)).train_batches(7)).image)


def test_copy_paste_goes_with_crops(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'photos', train=16, val=2)
  config = crop_config(folder).unlock()
  config.data.mask_size, config.data.copy_paste.name = 32, 'simple'
  pasting = dataset.build(config.lock())
  for _, batch in zip(range(8), pasting.train_batches(0), strict=False):
    boxes = batch.objects.boxes[batch.objects.valid]
    limits = np.repeat(batch.image_size, batch.objects.valid.sum(axis=1), axis=0)[:, ::-1]
    assert (boxes >= 0).all() and (boxes[:, 2:] <= limits + 1e-3).all()


@pytest.mark.parametrize(
  ('settings', 'error'),
  [
    ({'name': 'large_scale_jitter', 'crop': {'probability': 0.5}}, "not to 'large_scale_jitter'"),
  ],
)
def test_mistakes_are_named(settings, error):
  recipe = ConfigDict(RECIPE.to_dict())
  recipe.update(settings)
  with pytest.raises(ValueError, match=error):
    random_crop.check(recipe)
