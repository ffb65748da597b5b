import itertools
import json
import os

import jax
import numpy as np
import pytest
from PIL import Image

import mini_photos
from input_pipeline import dataset, rasterize
from input_pipeline.examples import parse
from input_pipeline.resize import shortest_edge_size
from jaxdet.configuration import load_config

TRAIN, VAL = 30, 10
WITHOUT_OBJECTS = (0, 7)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return mini_photos.make_folder(tmp_path_factory.mktemp('photos') / 'data', TRAIN, VAL, WITHOUT_OBJECTS)


@pytest.fixture(scope='module')
def photos(folder):
  return dataset.build(mini_photos.make_config(folder))


def take(iterator, count):
  return list(itertools.islice(iterator, count))


def assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_protocols_fields(photos, folder):
  assert len(photos.categories) == 80 and photos.categories[0].name == 'person'
  assert photos.num_train_images == TRAIN
  assert photos.annotations == str(folder / 'val.json')
  content = json.loads((folder / 'val.json').read_text())
  assert photos.image_ids.tolist() == [image['id'] for image in content['images']]
  assert len(photos.image_files) == VAL and all(map(os.path.exists, photos.image_files))


def test_shapes_and_types_of_a_training_batch(photos):
  batch = next(photos.train_batches(0))
  expected = {
    'image': ((4, 128, 224, 3), np.uint8),
    'image_size': ((4, 2), np.int32),
    'original_size': ((4, 2), np.int32),
    'index': ((4,), np.int32),
    'valid': ((4,), np.bool_),
    'objects/boxes': ((4, 20, 4), np.float32),
    'objects/labels': ((4, 20), np.int32),
    'objects/valid': ((4, 20), np.bool_),
    'objects/masks/bits': ((4, 20, 32, 4), np.uint8),
    'objects/masks/windows': ((4, 20, 4), np.float32),
    'objects/masks/outlines': ((4, 20, 64, 2), np.float32),
    'objects/masks/outline_parts': ((4, 20, 64), np.int8),
  }
  leaves = jax.tree_util.tree_leaves_with_path(batch)
  found = {jax.tree_util.keystr(path, simple=True, separator='/'): (x.shape, x.dtype) for path, x in leaves}
  found['image'] = ((4, *sorted(found['image'][0][1:3]), 3), found['image'][1])  # either canvas
  assert found == expected


def test_training_batches_resume_at_any_step(photos):
  straight = take(photos.train_batches(0), 6)
  for resumed, expected in zip(take(photos.train_batches(4), 2), straight[4:], strict=True):
    assert_equal(resumed, expected)


def test_processes_share_a_batch(photos, folder):
  config = mini_photos.make_config(folder)
  parts = [dataset.build(config, process_index=p, process_count=2) for p in range(2)]
  for name in ('train', 'eval'):
    whole = photos.train_batches(3) if name == 'train' else photos.eval_batches()
    halves = [part.train_batches(3) if name == 'train' else part.eval_batches() for part in parts]
    for batch, *both in itertools.islice(zip(whole, *halves, strict=True), 4):
      joined = jax.tree.map(lambda *parts: np.concatenate(parts), *both)
      jax.tree.map(np.testing.assert_array_equal, joined, batch)


def test_a_batch_fits_its_canvas(photos):
  shapes = set()
  for batch in take(photos.train_batches(0), 10):
    height, width = batch.image.shape[1:3]
    shapes.add((height, width))
    wide = batch.original_size[:, 1] > batch.original_size[:, 0]
    assert (wide == (width > height)).all()
    for image, size in zip(batch.image, batch.image_size, strict=True):
      assert not image[size[0] :].any() and not image[:, size[1] :].any()
      assert image[: size[0], : size[1]].any()
  assert shapes == {(128, 224), (224, 128)}
  assert photos.counters()['images_shrunk_to_canvas'] == 0


def objects_of(photos, index):
  return parse(photos.train.read([index])[0]).objects


def test_boxes_and_masks_lie_where_the_annotations_say(photos):
  """Labels, boxes up to a flip, and the extent of the mask's bits against the box."""
  seen_flips = set()
  differing = objects = 0
  for batch in take(photos.train_batches(0), 8):
    for row, index in enumerate(batch.index):
      annotated = objects_of(photos, int(index))
      size, valid = batch.image_size[row], batch.objects.valid[row]
      assert valid.sum() == min(len(annotated.labels), 20)
      count = valid.sum()
      assert valid[:count].all()
      np.testing.assert_array_equal(batch.objects.labels[row, :count], annotated.labels[:count])
      scale = np.tile(size[::-1] / batch.original_size[row, ::-1], 2)
      boxes = annotated.boxes[:count] * scale
      mirrored = np.stack([size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]], axis=1)
      limits = np.tile(size[::-1], 2)
      matches = [np.allclose(batch.objects.boxes[row, :count], b.clip(0, limits), atol=1e-3) for b in (boxes, mirrored)]
      assert any(matches) or not count
      if count:
        seen_flips.add(matches[1])

      windows = batch.objects.masks.windows[row, :count]
      bits = rasterize.unpack(batch.objects.masks.bits[row, :count])
      for box, window, mask in zip(batch.objects.boxes[row, :count], windows, bits, strict=True):
        if (box[2:] - box[:2]).min() < 4:
          continue
        y, x = np.nonzero(mask)
        cell = (window[2:] - window[:2]) / 32
        low = window[:2] + np.array([x.min(), y.min()]) * cell
        high = window[:2] + np.array([x.max() + 1, y.max() + 1]) * cell
        objects += 1
        differing += np.abs(np.concatenate([low, high]) - box).max() > 1.5 * cell.max() + 0.5
  assert seen_flips == {False, True}
  assert objects > 100
  assert differing / objects < 0.03  # some of COCO's polygons leave their boxes


def test_pixels_are_those_of_the_file(photos):
  """Each image, resized by hand and mirrored or not, is what the batch holds."""
  for batch in take(photos.train_batches(0), 3):
    for row, index in enumerate(batch.index):
      path = os.path.join(photos.config.data.dir, photos.train.file_names[index])
      height, width = batch.image_size[row]
      image = np.asarray(Image.open(path).convert('RGB').resize((width, height), Image.Resampling.BILINEAR))
      found = batch.image[row, :height, :width]
      assert np.array_equal(found, image) or np.array_equal(found, image[:, ::-1])


def test_repeat_factors_move_frequencies(photos):
  factors = dataset.image_factors(photos.train.labels, 80, 'repeat_factor', 0.3)
  assert factors.max() > 2 and (factors[list(WITHOUT_OBJECTS)] == 1).all()
  canvases = dataset.sampling.orientations(photos.train.image_sizes, 2)
  sampler = dataset.sampling.BatchSampler(factors, canvases, 4, seed=0)
  steps = int(500 * factors.sum() / 4)
  counts = np.bincount(np.concatenate([sampler.batch(step)[1] for step in range(steps)]), minlength=TRAIN)
  np.testing.assert_allclose(counts / 500, factors, atol=0.15)


def test_images_without_objects_stay_and_shift_nothing(photos, folder):
  content = json.loads((folder / 'train.json').read_text())
  assert photos.train.image_ids.tolist() == [image['id'] for image in content['images']]
  seen = {}
  for batch in take(photos.train_batches(0), 25):
    for row, index in enumerate(batch.index):
      seen[int(index)] = batch.objects.valid[row].sum()
      entry = content['images'][index]
      assert batch.original_size[row].tolist() == [entry['height'], entry['width']]
  assert all(seen[index] == 0 for index in WITHOUT_OBJECTS)


def test_evaluation_shows_each_image_once(photos):
  batches = list(photos.eval_batches())
  valid = np.concatenate([batch.valid for batch in batches])
  index = np.concatenate([batch.index for batch in batches])[valid]
  assert sorted(index) == list(range(VAL))
  assert len(batches) == sum(
    -(-count // 4) for count in np.bincount(photos.val.image_sizes[:, 1] <= photos.val.image_sizes[:, 0])
  )
  for batch in batches:
    assert (np.diff(batch.index[batch.valid]) > 0).all()
    for row in np.flatnonzero(batch.valid):
      size = photos.val.image_sizes[batch.index[row]]
      np.testing.assert_array_equal(batch.original_size[row], size)
      assert tuple(batch.image_size[row]) == shortest_edge_size(tuple(size.tolist()), 128, 213)


def test_objects_beyond_the_room_are_counted(folder):
  crowded = dataset.build(mini_photos.make_config(folder, max_objects=2))
  batch = next(crowded.train_batches(0))
  assert batch.objects.valid.shape == (4, 2)
  assert crowded.counters()['objects_beyond_max_objects'] > 0


def test_large_scale_jitter(folder):
  config = mini_photos.make_config(folder, canvases=((96, 96),)).unlock()
  config.data.resize.name = 'large_scale_jitter'
  jittered = dataset.build(config.lock())
  sizes = []
  for batch in take(jittered.train_batches(0), 8):
    assert batch.image.shape == (4, 96, 96, 3)
    sizes.extend(map(tuple, batch.image_size))
    boxes = batch.objects.boxes[batch.objects.valid]
    limits = np.repeat(batch.image_size, batch.objects.valid.sum(axis=1), axis=0)[:, ::-1]
    assert (boxes >= 0).all() and (boxes[:, 2:] <= limits + 1e-3).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
  assert (96, 96) in sizes and min(map(max, sizes)) < 60


def test_shapes_are_generated(tmp_path):
  config = load_config(f'{mini_photos.CONFIG}:mini').unlock()
  config.data.dir = str(tmp_path / 'shapes')
  config.data.shapes = {'images': 12, 'val_images': 4, 'image_size': 64, 'categories': 6}
  config.data.canvases = ((64, 64),)
  config.data.resize = {**config.data.resize, 'sizes': (64,), 'test_size': 64, 'max_size': 64}
  shapes = dataset.build(config.lock())
  batch = next(shapes.train_batches(0))
  assert batch.image.shape == (8, 64, 64, 3) and batch.objects.valid.any(axis=1).all()
  assert sum(batch.valid.sum() for batch in shapes.eval_batches()) == 4


def test_without_a_training_split(folder):
  evaluation_only = dataset.build(mini_photos.make_config(folder, train=()))
  assert evaluation_only.num_train_images == 0
  assert len(list(evaluation_only.eval_batches())) > 0
  with pytest.raises(ValueError, match='config.data.train'):
    evaluation_only.train_batches(0)


def test_missing_annotations_list_what_was_tried(tmp_path):
  with pytest.raises(FileNotFoundError, match='annotations/lvis_v1_train.json.*lvis_v1_train.json'):
    dataset.build(mini_photos.make_config(tmp_path))


def test_a_missing_validation_file_is_known_before_records_are_made(tmp_path):
  folder = mini_photos.make_folder(tmp_path / 'data', train=2, val=1)
  (folder / 'val.json').unlink()
  with pytest.raises(FileNotFoundError, match='lvis_v1_val.json, .*val.json exists'):
    dataset.build(mini_photos.make_config(folder))
  assert not (folder / 'records').exists()


@pytest.mark.parametrize(
  'data, message',
  [
    ({'name': 'kitti'}, "'kitti'.*lvis, coco, voc"),
    ({'mask_size': 30}, 'mask_size 30'),
    ({'canvases': ((224, 128), (128, 224))}, 'canvases'),
    ({'sampler': {'name': 'class_aware', 'threshold': 0.1}}, "'class_aware'.*repeat_factor"),
  ],
)
def test_settings_that_do_not_fit(tmp_path, data, message):
  with pytest.raises(ValueError, match=message):
    dataset.build(mini_photos.make_config(tmp_path, **data))


def test_batches_must_divide_by_the_processes(tmp_path):
  with pytest.raises(ValueError, match='4 cannot be divided by 3'):
    dataset.build(mini_photos.make_config(tmp_path), process_count=3)


def test_a_broken_image_is_named_when_it_is_met(photos, monkeypatch):
  read = photos.train.read

  def read_broken(indices):
    return [record.replace(b'\xff\xd8\xff', b'\x00\x00\x00', 1) for record in read(indices)]

  monkeypatch.setattr(photos.train, 'read', read_broken)
  with pytest.raises(ValueError, match=r'cannot decode image .*train2017/\d+\.jpg'):
    next(photos.train_batches(0))


def test_class_counts_are_those_of_the_annotations(photos):
  counts = photos.class_counts()
  per_image = [photos.train.labels[row] for row in range(len(photos.train))]
  assert counts['num_images'] == len(per_image) and sum(counts['instances']) == sum(map(len, per_image))
  for label, (images, instances) in enumerate(zip(counts['images'], counts['instances'], strict=True)):
    assert images == sum(label in labels for labels in per_image)
    assert instances == sum((labels == label).sum() for labels in per_image)


def test_counts_of_a_file_take_the_place_of_those_of_objects(photos, folder, tmp_path):
  path = str(tmp_path / 'num_shots.npy')
  np.save(path, np.arange(80))
  counted = dataset.build(mini_photos.make_config(folder, num_shots=path)).class_counts()
  assert counted == photos.class_counts() | {'instances': tuple(range(80))}
  np.save(path, np.arange(79))
  with pytest.raises(ValueError, match=r'num_shots.npy has counts of 79 classes, the annotation file 80 categories'):
    dataset.build(mini_photos.make_config(folder, num_shots=path)).class_counts()


@pytest.mark.parametrize('sampler', ['instance_repeat_factor', 'class_balanced', 'uniform'])
def test_every_sampler_resumes_at_any_step(folder, sampler):
  sampled = dataset.build(mini_photos.make_config(folder, sampler={'name': sampler, 'threshold': 0.3}))
  straight = take(sampled.train_batches(0), 5)
  assert_equal(next(sampled.train_batches(4)), straight[4])


@pytest.mark.parametrize('resize', ['shortest_edge', 'large_scale_jitter'])
def test_objects_are_pasted_within_images_of_either_canvas(photos, folder, resize):
  config = mini_photos.make_config(folder, copy_paste={'name': 'rare', 'probability': 1.0}).unlock()
  config.data.resize.name = resize
  pasting = dataset.build(config.lock())
  canvases, objects = set(), 0
  for batch, plain in zip(take(pasting.train_batches(0), 8), take(photos.train_batches(0), 8), strict=True):
    canvases.add(batch.image.shape[1:3])
    np.testing.assert_array_equal(batch.index, plain.index)
    objects += batch.objects.valid.sum() - plain.objects.valid.sum()
    boxes, labels = batch.objects.boxes[batch.objects.valid], batch.objects.labels[batch.objects.valid]
    limits = np.repeat(batch.image_size, batch.objects.valid.sum(axis=1), axis=0)[:, ::-1]
    assert (boxes >= 0).all() and (boxes[:, 2:] <= limits + 1e-3).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert (labels < 80).all() and batch.objects.masks.bits[batch.objects.valid].any(axis=(1, 2)).mean() > 0.9
    for image, size in zip(batch.image, batch.image_size, strict=True):
      assert not image[size[0] :].any() and not image[:, size[1] :].any()
  assert canvases == {(128, 224), (224, 128)}
  assert objects > 16
