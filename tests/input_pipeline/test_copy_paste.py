"""Copy-paste: what is drawn, which pixels change, and what becomes of the objects underneath."""

import itertools

import jax
import numpy as np
import pytest
from drawn_objects import place_objects
from PIL import Image
from pycocotools import mask as coco_mask

import mini_photos
from input_pipeline import copy_paste, dataset, rasterize
from input_pipeline.copy_paste import CopyPaste, choose, draw, put_on_top
from input_pipeline.fields.covered import pixels_of, uncovered
from input_pipeline.fields.table import training_fields
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement
from jaxdet.annotations.objects import Objects
from jaxdet.configuration import load_config

HEIGHT, WIDTH = 60, 80


def placed(*polygons, mask_size=80, rle=None):
  """Objects on a canvas of 60 x 80, one for each polygon (x, y, x, y, ..), labels 0, 1, ..; at mask size 80 a cell is
  a pixel."""
  points = [np.asarray(polygon, np.float32).ravel() for polygon in polygons]
  count = len(points)
  corners = [p.reshape(-1, 2) for p in points]
  objects = Objects(
    labels=np.arange(count),
    boxes=np.array([[*c.min(0), *c.max(0)] for c in corners], np.float32).reshape(-1, 4),
    areas=np.ones(count, np.float32),
    crowds=np.zeros(count, np.int64),
    ignored=np.zeros(count, np.int64),
    polygons_per_object=np.array([0 if rle else 1] * count, np.int64),
    polygon_lengths=np.array([] if rle else [len(p) for p in points], np.int64),
    polygon_points=np.concatenate([np.zeros(0, np.float32), *([] if rle else points)]),
    rle=rle or [b''] * count,
  )
  size = (HEIGHT, WIDTH)
  return place_objects(objects, Placement(size, size, (0, 0), size), 100, mask_size)


def rectangle(x1, y1, x2, y2):
  return [x1, y1, x2, y1, x2, y2, x1, y2]


def covering(x1, y1, x2, y2):
  pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
  pixels[y1:y2, x1:x2] = True
  return pixels


def bits(objects):
  return rasterize.unpack(objects['masks'].bits).astype(np.bool_)


def on_canvas(objects):
  """Each object's mask over the whole canvas."""
  return np.stack(
    [
      rasterize.pixels_of_bits(mask[None], window[None], HEIGHT, WIDTH)
      for mask, window in zip(bits(objects), objects['masks'].windows, strict=True)
    ]
  )


def test_a_covered_part_leaves_mask_and_box():
  objects = placed(rectangle(10, 5, 30, 45), rectangle(50, 5, 60, 15))
  seen = uncovered(objects, covering(0, 0, 15, 60))
  np.testing.assert_array_equal(seen['boxes'].boxes, [[15, 5, 30, 45], [50, 5, 60, 15]])
  assert bits(seen).sum(axis=(1, 2)).tolist() == [15 * 40, 100]
  np.testing.assert_array_equal(seen['masks'].windows, objects['masks'].windows)


def test_a_cut_object_has_no_outline_and_the_others_keep_theirs():
  seen = uncovered(placed(rectangle(10, 5, 30, 45), rectangle(50, 5, 60, 15)), covering(0, 0, 15, 60))
  outlines, parts = seen['masks'].polygons.outlines(2, 8)
  assert parts.tolist() == [[-1] * 8, [0] * 5 + [-1] * 3]
  np.testing.assert_array_equal(outlines[1, :5], [[50, 5], [60, 5], [60, 15], [50, 15], [50, 5]])


def test_a_hole_leaves_the_box_as_it_was_annotated():
  objects = placed([10.3, 5.4, 40.2, 5.4, 40.2, 45.3, 10.3, 45.3])
  seen = uncovered(objects, covering(20, 20, 30, 30))
  np.testing.assert_array_equal(seen['boxes'].boxes, objects['boxes'].boxes)
  assert bits(seen).sum() == bits(objects).sum() - 100


@pytest.mark.parametrize(
  'box, covered, stays',
  [
    ((10, 5, 20, 15), (0, 0, 80, 60), False),  # nothing is left
    ((10, 5, 30, 45), (0, 0, 22, 60), True),  # a side moves by 12, and 8 x 40 = 320 pixels are left
    ((10, 5, 30, 35), (0, 0, 22, 60), False),  # a side moves by 12, and 8 x 30 = 240 pixels are left
    ((10, 5, 30, 35), (0, 0, 20, 60), True),  # a side moves by 10, and 300 pixels are left
    ((10, 5, 14, 9), (0, 0, 13, 60), True),  # a column of a small object: its sides move by no more than 3
  ],
)
def test_objects_of_which_little_is_left_are_dropped(box, covered, stays):
  seen = uncovered(placed(rectangle(*box)), covering(*covered))
  assert len(seen.labels) == stays


def test_an_object_of_which_no_cell_is_left_is_dropped_whatever_its_window():
  # The window ends 4 pixels below the box: no side of it could move by more.
  assert not len(uncovered(placed(rectangle(0, 0, 64, 60), mask_size=64), covering(0, 0, 80, 60)).labels)


def test_where_cells_are_larger_than_pixels_boxes_move_by_cells():
  # 64 x 40 pixels in 16 x 16 cells of 4 x 2.5: 26 columns are covered, which are the centres of the first 6 and, at
  # 10 + 26 = 36 > 36 - 2, of the seventh cell (34 to 38 has its centre at 36, a pixel that is not covered).
  objects = placed(rectangle(10, 5, 74, 45), mask_size=16)
  seen = uncovered(objects, covering(0, 0, 36, 60))
  np.testing.assert_array_equal(seen['boxes'].boxes, [[34, 5, 74, 45]])
  assert bits(seen)[0].sum() == 10 * 16


def test_pasted_objects_follow_those_that_are_left():
  objects = placed(rectangle(10, 5, 30, 45), rectangle(50, 5, 55, 10), rectangle(60, 40, 70, 50))
  pasted = placed(rectangle(48, 2, 58, 12), rectangle(0, 0, 4, 4))
  both = put_on_top(objects, pasted, pixels_of(pasted, HEIGHT, WIDTH))
  assert both.labels.tolist() == [0, 2, 0, 1]  # the small one is under the first of the pasted
  np.testing.assert_array_equal(both['boxes'].boxes, [[10, 5, 30, 45], [60, 40, 70, 50], [48, 2, 58, 12], [0, 0, 4, 4]])
  _, parts = both['masks'].polygons.outlines(4, 8)
  assert (parts[:, 0] == 0).all()
  assert both['masks'].polygons.owners.tolist() == [0, 1, 2, 3]


def quadrangles(rng):
  corners = rng.uniform(0, 1, (5, 4, 2)) * rng.uniform(0.2, 1, (5, 1, 2)) * [WIDTH, HEIGHT]
  return corners.reshape(5, 8)


def around(mask):
  y, x = np.nonzero(mask)
  return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float32)


def test_what_is_seen_equals_what_masks_of_the_whole_canvas_say():
  """Cut on the canvas, as upstream does it, on random quadrangles; sides that are not cut stay as annotated."""
  rng = np.random.default_rng(3)
  dropped = cut = 0
  for _ in range(30):
    objects, pasted = (placed(*quadrangles(rng)) for _ in range(2))
    objects, pasted = (o.take(np.flatnonzero(bits(o).any(axis=(1, 2)))) for o in (objects, pasted))
    union = on_canvas(pasted).any(axis=0)
    np.testing.assert_array_equal(pixels_of(pasted, HEIGHT, WIDTH), union)
    labels, boxes, masks = [], [], []
    for label, box, mask in zip(objects.labels, objects['boxes'].boxes, on_canvas(objects), strict=True):
      left = mask & ~union
      if left.any():
        seen = np.where(around(left) == around(mask), box, around(left))
        if left.sum() > 300 or (np.abs(seen - box) <= 10).all():
          labels, boxes, masks = [*labels, label], [*boxes, seen], [*masks, left]
      cut += (left != mask).any()
    dropped += len(objects.labels) - len(labels)

    both = put_on_top(objects, pasted, union)
    assert both.labels.tolist() == [*labels, *pasted.labels]
    np.testing.assert_array_equal(both['boxes'].boxes, [*boxes, *pasted['boxes'].boxes])
    np.testing.assert_array_equal(on_canvas(both), [*masks, *on_canvas(pasted)])
  assert dropped > 5 and cut > 50


def test_objects_without_polygons_are_pasted_by_their_bits():
  mask = np.asfortranarray(covering(20, 10, 33, 30).astype(np.uint8))
  runs = coco_mask.encode(mask)['counts']
  objects = placed(rectangle(20, 10, 33, 30), rle=[runs], mask_size=32)
  np.testing.assert_array_equal(pixels_of(objects, HEIGHT, WIDTH), mask.astype(np.bool_))


def test_a_random_number_of_objects_is_chosen_by_weight():
  chosen = [choose(np.array([3.0, 1.0, 1.0]), random_stream(0, 2, number)) for number in range(4000)]
  numbers = np.bincount([len(c) for c in chosen], minlength=4) / 4000
  np.testing.assert_allclose(numbers, [0.25] * 4, atol=0.03)
  assert all(len(set(c)) == len(c) for c in chosen)
  first = np.bincount([c[0] for c in chosen if len(c)], minlength=3) / sum(len(c) > 0 for c in chosen)
  np.testing.assert_allclose(first, [0.6, 0.2, 0.2], atol=0.03)
  assert len(choose(np.zeros(0), random_stream(0, 2, 0))) == 0


def test_images_are_drawn_by_weight():
  drawn = [draw(np.array([4, 7, 9]), np.array([1.0, 1.5, 4.0]), random_stream(0, 2, number)) for number in range(4000)]
  np.testing.assert_allclose(
    [np.mean(np.array(drawn) == image) for image in (4, 7, 9)], [0.25, 0.125, 0.625], atol=0.03
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('shapes')


def shapes(folder, name, process_index=0, process_count=1, **data):
  """Generated images of 96 pixels on a canvas of 96, resized to 60 or 96 of them; a cell of a mask is a pixel."""
  config = load_config(f'{mini_photos.CONFIG}:mini').unlock()
  config.data.dir = str(folder)
  config.data.shapes = {'images': 24, 'val_images': 2, 'image_size': 96, 'categories': 8}
  config.data.canvases = ((96, 96),)
  config.data.resize = {**config.data.resize, 'sizes': (60, 96), 'test_size': 96, 'max_size': 96}
  config.data.mask_size, config.data.max_vertices = 96, 64
  config.data.copy_paste = {'name': name, 'probability': 1.0}
  for key, value in data.items():
    config.data[key] = value
  return dataset.build(config.lock(), process_index=process_index, process_count=process_count)


def take(batches, count):
  return list(itertools.islice(batches, count))


def test_pixels_change_where_objects_are_pasted_and_nowhere_else(folder):
  plain, pasted = (take(shapes(folder, name).train_batches(0), 4) for name in ('', 'simple'))
  changed, places = 0, set()
  for before, after in zip(plain, pasted, strict=True):
    np.testing.assert_array_equal(before.image_size, after.image_size)
    for row in range(8):
      (height, width), old = before.image_size[row], before.objects.valid[row].sum()
      differs = (before.image[row] != after.image[row]).any(axis=-1)
      count = after.objects.valid[row].sum()
      known = before.objects.boxes[row, :old]
      new = [not (box == known).all(axis=1).any() for box in after.objects.boxes[row, :count]]
      masks = rasterize.unpack(after.objects.masks.bits[row, :count][new]).astype(np.bool_)
      inside = rasterize.pixels_of_bits(masks, after.objects.masks.windows[row, :count][new], 96, 96)
      assert not (differs & ~inside).any()
      assert not inside[height:].any() and not inside[:, width:].any()
      changed += differs.any()
      places |= {tuple(box) for box in after.objects.boxes[row, :count][new].tolist()}
  assert changed > 16 and len(places) > 24


def red_image(example):
  return Image.new('RGB', (example.width, example.height), (255, 0, 0))


def test_pasted_pixels_are_those_of_the_second_image(folder, monkeypatch):
  """With a second image of one colour, all that changes has that colour, in every object whole."""
  monkeypatch.setattr(copy_paste, 'decode_example', red_image)
  plain, pasted = (next(shapes(folder, name).train_batches(0)) for name in ('', 'simple'))
  red = (pasted.image == [255, 0, 0]).all(axis=-1)
  np.testing.assert_array_equal(pasted.image[~red], plain.image[~red])
  found = 0
  for row in range(8):
    for i in np.flatnonzero(pasted.objects.valid[row]):
      mask = rasterize.unpack(pasted.objects.masks.bits[row, i]).astype(np.bool_)
      pixels = rasterize.pixels_of_bits(mask[None], pasted.objects.masks.windows[row, i][None], 96, 96)
      assert red[row][pixels].all() or not red[row][pixels].any()  # pasted, or not to be seen under what is
      found += red[row][pixels].all()
  assert found > 4


def test_batches_resume_at_any_step_and_are_shared_by_processes(folder):
  straight = take(shapes(folder, 'simple').train_batches(0), 4)
  resumed = next(shapes(folder, 'simple').train_batches(3))
  halves = [next(shapes(folder, 'simple', p, 2).train_batches(3)) for p in range(2)]
  joined = jax.tree.map(lambda *parts: np.concatenate(parts), *halves)
  for same in (resumed, joined):
    jax.tree.map(np.testing.assert_array_equal, same, straight[3])


def test_objects_are_pasted_while_there_is_room_for_them(folder):
  crowded = shapes(folder, 'simple', max_objects=2)
  plain = take(shapes(folder, '', max_objects=2).train_batches(0), 3)
  for before, after in zip(plain, take(crowded.train_batches(0), 3), strict=True):
    full = before.objects.valid.all(axis=1)
    assert full.any()
    np.testing.assert_array_equal(after.image[full], before.image[full])
  assert crowded.counters()['objects_beyond_max_objects'] > 0


def test_with_probability_zero_nothing_is_pasted(folder):
  never = next(shapes(folder, 'simple', copy_paste={'name': 'simple', 'probability': 0.0}).train_batches(0))
  np.testing.assert_array_equal(never.image, next(shapes(folder, '').train_batches(0)).image)


def test_rare_classes_are_drawn_more_often(folder):
  data = shapes(folder, 'rare', sampler={'name': 'uniform', 'threshold': 1.0})
  images_of = data.class_counts()['images']
  rarest = min((count, label) for label, count in enumerate(images_of) if count)[1]
  shares = []
  for name in ('simple', 'rare'):
    config = shapes(folder, name, sampler={'name': 'uniform', 'threshold': 1.0}).config
    paste = CopyPaste(data.train, training_fields(config.data, 8), config.data, 0, np.zeros(24, np.int64))
    drawn = [draw(paste._images[0], paste._ends[0], random_stream(0, 2, number)) for number in range(2000)]
    shares.append(np.mean([rarest in data.train.labels[image] for image in drawn]))
  # Its factor is sqrt(24 / images), the least of an image is 1: the share grows.
  assert shares[1] > 1.3 * shares[0] > 0


@pytest.mark.parametrize(
  'settings, message',
  [
    ({'copy_paste': {'name': 'mixup', 'probability': 1.0}}, "'mixup': choose one of simple, rare"),
    ({'copy_paste': {'name': 'rare', 'probability': 1.5}}, 'copy_paste.probability is 1.5: give a number from 0 to 1'),
    ({'mask_size': 0}, 'needs masks, and data.mask_size is 0'),
  ],
)
def test_settings_that_do_not_fit(folder, settings, message):
  with pytest.raises(ValueError, match=message):
    shapes(folder, 'simple', **settings)
