"""Maps of a class for every pixel: where their pixels come from, and how they get into records."""

import dataclasses
import io
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from drawn_objects import objects, scene
from PIL import Image

from input_pipeline import dataset, examples, transforms
from input_pipeline.fields import semantic
from input_pipeline.fields.semantic import Semantic, sources
from input_pipeline.random_crop import Crop
from input_pipeline.sampling import random_stream
from input_pipeline.transforms import Placement
from jaxdet.configuration import load_config

# Rows of `cv2.resize(np.arange(30, dtype=np.uint8)[:, None], (1, 24), interpolation=cv2.INTER_NEAREST)` and so on.
OPENCV_NEAREST = json.loads((pathlib.Path(__file__).parents[1] / 'data' / 'opencv_nearest.json').read_text())

CORNER, CENTRE = (Semantic('maps', '.png', 255, nearest) for nearest in ('corner', 'centre'))


def encoded(classes):
  stream = io.BytesIO()
  Image.fromarray(np.asarray(classes, np.uint8)).save(stream, 'png')
  return stream.getvalue()


def place(field, classes, placement):
  one = scene(objects(), placement)
  one = dataclasses.replace(one, image=dataclasses.replace(one.image, files={semantic.FEATURE: encoded(classes)}))
  return field.place(one)


def noise(height, width):
  return np.random.default_rng(height).integers(0, 200, (height, width), np.uint8)


@pytest.mark.parametrize('size', [(24, 36), (47, 83), (13, 9), (30, 50)])
class TestNearest:
  def test_centre_is_pillows(self, size):
    classes = noise(30, 50)
    found = place(CENTRE, classes, Placement((30, 50), size, (0, 0), size))
    expected = Image.fromarray(classes).resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(found, np.asarray(expected))

  def test_corner_is_opencvs(self, size):
    classes = noise(30, 50)
    found = place(CORNER, classes, Placement((30, 50), size, (0, 0), size))
    rows, columns = OPENCV_NEAREST[f'30 to {size[0]}'], OPENCV_NEAREST[f'50 to {size[1]}']
    np.testing.assert_array_equal(found, classes[np.ix_(rows, columns)])


def test_corner_takes_the_pixel_under_the_top_left_and_centre_that_under_the_middle():
  half = Placement((1, 4), (1, 2), (0, 0), (1, 2))
  assert place(CORNER, [[1, 2, 3, 4]], half).tolist() == [[1, 3]]
  assert place(CENTRE, [[1, 2, 3, 4]], half).tolist() == [[2, 4]]


def test_crops_come_after_the_resize_and_before_the_flip():
  window = Placement((4, 6), (4, 6), (1, 2), (3, 4), flipped=True)
  classes = noise(4, 6)
  np.testing.assert_array_equal(place(CORNER, classes, window), classes[1:, 2:][:, ::-1])


def test_a_part_that_is_resized_twice_is_so_here():
  classes = noise(40, 60)
  crop = Crop(resized_size=(30, 45), offset=(5, 7), size=(20, 31))
  found = place(CENTRE, classes, Placement((40, 60), (28, 44), (0, 0), (28, 44), crop=crop))
  small = Image.fromarray(classes).resize((45, 30), Image.Resampling.NEAREST).crop((7, 5, 38, 25))
  np.testing.assert_array_equal(found, np.asarray(small.resize((44, 28), Image.Resampling.NEAREST)))


def test_beside_the_image_nothing_is_known():
  window = Crop((2, 3), (-1, -2), (4, 6), ground=(0, 0, 0))
  found = place(CORNER, [[1, 2, 255], [4, 5, 6]], Placement((2, 3), (4, 6), (0, 0), (4, 6), crop=window))
  expected = np.full((4, 6), -1)
  expected[1:3, 2:5] = [[1, 2, -1], [4, 5, 6]]
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('recipe', ['shortest_edge', 'large_scale_jitter', 'stretch'])
def test_a_map_follows_its_image_under_random_placements(recipe):
  """Where pixels are of one colour, the map has its class; the ground round images has none."""
  config = load_config('configs/mmdet/mask_rcnn.py').data.copy_and_resolve_references().unlock()
  config.canvases = ((64, 64),)
  config.resize.name, config.resize.window.expand_probability = recipe, 1.0
  config.resize.update(sizes=(40, 48), max_size=64)
  config.resize.crop.update(probability=0.7, sizes=(50, 60), max_size=90, range=(20, 40))
  quarters = np.kron([[0, 1], [2, 3]], np.ones((30, 40))).astype(np.uint8)
  colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], config.resize.window.ground])  # by class
  image = Image.fromarray(colours[quarters].astype(np.uint8))
  for number in range(20):
    placement = transforms.placement_on(0, (60, 80), config, random_stream(0, 1, number), transforms.NO_BOXES)
    height, width = placement.size
    pixels = np.zeros((64, 64, 3), np.uint8)
    transforms.place_image(image, placement, pixels)
    has_colour = (pixels[:height, :width, None] == colours).all(-1)
    plain = has_colour.any(-1)
    assert plain.mean() > 0.5
    expected = np.array([0, 1, 2, 3, -1])[has_colour.argmax(-1)]
    np.testing.assert_array_equal(place(CENTRE, quarters, placement)[plain], expected[plain])


def test_sources_lie_in_the_file():
  for flipped in (False, True):
    placement = Placement((7, 5), (700, 500), (100, 30), (64, 48), flipped=flipped)
    for axis, size in ((0, 7), (1, 5)):
      found = sources(placement, axis, semantic.nearest_centres)
      assert found.min() >= 0 and found.max() < size and len(found) == placement.size[axis]


@pytest.mark.parametrize(
  ('image', 'message'),
  [
    (Image.new('L', (8, 6)), ''),
    (Image.new('P', (8, 6)), ''),
    (Image.new('I;16', (8, 6)), ''),
    (Image.new('RGB', (8, 6)), 'has RGB pixels, not one number for each'),
    (Image.new('L', (6, 8)), 'is 8 x 6 pixels, annotated as 6 x 8'),
  ],
)
def test_what_is_wrong_with_a_file(image, message):
  stream = io.BytesIO()
  image.save(stream, 'png')
  assert semantic.problem(stream.getvalue(), 6, 8) == message


class TestRecords:
  @pytest.fixture
  def folder(self, tmp_path):
    content = {
      'images': [{'id': i, 'height': 10, 'width': 20, 'file_name': f'{i}.jpg'} for i in (1, 2)],
      'categories': [{'id': 1, 'name': 'kite'}],
      'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 8, 8], 'area': 64}],
    }
    (tmp_path / 'maps' / 'train').mkdir(parents=True)
    for image in content['images']:
      Image.new('RGB', (20, 10)).save(tmp_path / image['file_name'])
      classes = np.full((10, 20), image['id'], np.uint8)
      classes[0] = 255
      Image.fromarray(classes).save(tmp_path / 'maps' / 'train' / f'{image["id"]}.png')
    for split in ('train', 'val'):
      (tmp_path / f'{split}.json').write_text(json.dumps(content))
    return tmp_path

  def build(self, folder, **settings):
    config = load_config('configs/detectron2/faster_rcnn.py').unlock()
    config.data.update(dir=str(folder), mask_size=0, max_vertices=0, max_objects=4, canvases=((20, 48), (48, 20)))
    config.data.resize.update(sizes=(20,), max_size=40, test_size=20)
    config.data.semantic.update({'dir': 'maps'} | settings)
    config.train.batch_size = 2
    return dataset.build(config.lock())

  def test_from_the_files_to_the_batch(self, folder):
    data = self.build(folder)
    batch = next(data.train_batches(0))
    assert batch.semantic.shape == (2, 20, 48) and batch.semantic.dtype == np.int32
    for row, index in enumerate(batch.index):
      assert (batch.semantic[row, :2] == -1).all() and (batch.semantic[row, :, 40:] == -1).all()
      assert (batch.semantic[row, 2:, :40] == index + 1).all()
    assert next(data.eval_batches()).semantic is None

  def test_another_value_may_be_ignored(self, folder):
    batch = next(self.build(folder, ignore=1).train_batches(0))
    first = batch.semantic[batch.index.tolist().index(0)]
    assert (first[:2, :40] == 255).all() and (first[2:] == -1).all()

  def test_records_with_maps_serve_all_and_those_without_only_some(self, folder):
    without = self.build(folder, dir='').train
    assert without.features == ('pos_labels',)
    with_maps = self.build(folder).train
    assert with_maps.features == ('pos_labels', 'semantic/encoded')
    assert self.build(folder, dir='').train.folder == without.folder
    shutil.rmtree(without.folder)
    assert self.build(folder, dir='').train.folder == with_maps.folder

  def test_a_changed_map_makes_new_records(self, folder):
    before = self.build(folder).train
    Image.new('L', (20, 10), 7).save(folder / 'maps' / 'train' / '1.png')
    after = self.build(folder).train
    assert after.folder != before.folder
    changed = examples.parse(after.read([0])[0]).image.files['semantic/encoded']
    assert changed == (folder / 'maps' / 'train' / '1.png').read_bytes()

  def test_a_map_of_two_images_is_refused(self, folder):
    os.rename(folder / '2.jpg', folder / '1.png')
    for split in ('train', 'val'):
      path = folder / f'{split}.json'
      path.write_text(path.read_text().replace('2.jpg', '1.png'))
    with pytest.raises(
      ValueError, match=r'maps/1\.png: belongs to 1\.jpg and 1\.png: give every image a file of its own'
    ):
      self.build(folder)

  def test_missing_and_bad_maps_are_listed(self, folder):
    (folder / 'maps' / 'train' / '1.png').unlink()
    Image.new('L', (3, 3)).save(folder / 'maps' / 'train' / '2.png')
    with pytest.raises(ValueError, match='2 images of .*train.json are missing') as error:
      self.build(folder)
    assert 'maps/1.png: not found' in str(error.value)
    assert 'maps/train/2.png: is 3 x 3 pixels, annotated as 10 x 20' in str(error.value)

  def test_nothing_is_pasted_onto_maps(self, folder):
    config = load_config('configs/detectron2/mask_rcnn.py').unlock()
    config.data.update(dir=str(folder))
    config.data.semantic.dir, config.data.copy_paste.name = 'maps', 'simple'
    with pytest.raises(ValueError, match='data.copy_paste pastes objects alone, and batches have semantic: set data'):
      dataset.build(config)

  def test_an_unknown_rule_of_nearness(self, folder):
    with pytest.raises(ValueError, match="unknown data.semantic.nearest 'center'; the nearest is 'centre'"):
      self.build(folder, nearest='center')
