"""Kinds of annotation: what they have in records, and that a new one needs nothing of the pipeline but its file."""

import dataclasses
import itertools

import numpy as np
import pytest
from drawn_objects import objects, rectangle, scene

import mini_photos
from input_pipeline import dataset, tf_example
from input_pipeline.examples import parse
from input_pipeline.fields import table
from input_pipeline.fields.columns import to_batch
from input_pipeline.fields.field import ObjectField
from input_pipeline.fields.table import KINDS, evaluation_fields, training_fields
from input_pipeline.transforms import Placement
from jaxdet.annotations.objects import ImageAnnotations
from jaxdet.configuration import load_config
from jaxdet.structures import InstanceMasks

KEYPOINTS = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
PARTS = {
  'objects': dataclasses.replace(
    objects([rectangle(1, 2, 3, 4)], [rectangle(0, 0, 5, 5), rectangle(6, 6, 9, 9)]), keypoints=KEYPOINTS
  ),
  'image': ImageAnnotations(np.array([3]), np.array([2, 1]), np.array([5]), {'semantic/encoded': b'png'}),
}


@pytest.fixture
def config(tmp_path):
  """Generated images on a canvas of their size."""
  config = load_config(f'{mini_photos.CONFIG}:mini').unlock()
  config.data.dir = str(tmp_path / 'shapes')
  config.data.shapes = {'images': 16, 'val_images': 2, 'image_size': 64, 'categories': 6}
  config.data.canvases, config.data.mask_size = ((64, 64),), 32
  config.data.resize = {**config.data.resize, 'sizes': (48, 64), 'test_size': 64, 'max_size': 64}
  return config


@pytest.mark.parametrize('name', KINDS)
def test_a_kind_reads_what_it_gives_to_records(name):
  kind = KINDS[name]
  part = PARTS[kind.PART]
  features = kind.features(part)
  assert features.keys() == kind.FEATURES.keys() | kind.OPTIONAL.keys()
  label = {'objects/label': PARTS['objects'].labels}  # says how many objects there are
  read = kind.read(tf_example.decode(tf_example.encode({**label, **features})))
  assert read
  for field, value in read.items():
    np.testing.assert_array_equal(value, getattr(part, field), field)


@pytest.mark.parametrize('name', ['keypoints', 'semantic', 'image_labels'])
def test_what_annotations_need_not_have_is_left_out_of_records(name):
  kind, none = KINDS[name], np.zeros(0, np.int64)
  part = {'objects': objects(), 'image': ImageAnnotations(none, none)}[kind.PART]
  assert kind.features(part).keys() == kind.FEATURES.keys()


def test_features_belong_to_one_kind():
  names = [name for kind in KINDS.values() for name in (*kind.FEATURES, *kind.OPTIONAL)]
  assert len(set(names)) == len(names)


def test_the_config_chooses(config):
  def names():
    fields = training_fields(config.data, 6)
    return [field.name for field in (*fields.objects, *fields.images)]

  assert names() == ['boxes', 'masks']
  config.data.mask_size = 0
  assert names() == ['boxes']
  config.data.keypoints.points, config.data.semantic.dir, config.data.image_labels = 4, 'maps', True
  assert names() == ['boxes', 'keypoints', 'image_labels', 'semantic']
  assert [field.name for field in evaluation_fields(config.data).objects] == ['boxes']


def test_columns_become_the_batch_they_name(config):
  fields = training_fields(config.data, 6)
  image = {'image': np.zeros((2, 8, 8, 3)), 'image_size': 0, 'original_size': 0, 'index': 0, 'valid': 0}
  batch = to_batch(image | fields.columns(2, (8, 8)))
  assert batch.objects.boxes.shape == (2, 12, 4) and batch.objects.keypoints is None
  assert isinstance(batch.objects.masks, InstanceMasks) and batch.objects.masks.bits.shape == (2, 12, 32, 4)


def test_objects_are_left_out_by_any_kind(config):
  shapes = objects([rectangle(1, 1, 5, 5)], [], [rectangle(2, 2, 9, 9)], boxes=[[1, 1, 5, 5], [2, 2, 9, 9], [50] * 4])
  placed = training_fields(config.data, 6).place(scene(shapes, Placement((20, 20), (20, 20), (0, 0), (20, 20))))
  assert placed.labels.tolist() == [0] and len(placed['masks'].bits) == 1
  assert placed.left_out == {'objects_without_mask': 1, 'objects_beyond_max_objects': 0}


@dataclasses.dataclass(frozen=True)
class PlacedAreas:
  areas: np.ndarray

  def take(self, rows):
    return PlacedAreas(self.areas[rows])

  def followed_by(self, others):
    return PlacedAreas(np.concatenate([self.areas, others.areas]))


class Areas(ObjectField):
  """The annotated area of every object, as the x of a keypoint."""

  name, PART, FEATURES = 'areas', 'objects', {}
  features = read = staticmethod(lambda annotations: {})
  of = classmethod(lambda cls, data, num_classes: cls())

  def columns(self, images, objects):
    return {'objects/keypoints': np.zeros((images, objects, 1, 3), np.float32)}

  def place(self, scene, rows):
    return PlacedAreas(scene.objects.areas[rows])

  def write(self, placed, columns, row):
    columns['objects/keypoints'][row, : len(placed.areas), 0, 0] = placed.areas


@pytest.mark.parametrize('copy_paste', ['', 'simple'])
def test_a_kind_of_ones_own_stays_with_its_objects(copy_paste, config, monkeypatch):
  monkeypatch.setattr(table, 'KINDS', {**KINDS, 'areas': Areas})
  config.data.copy_paste.name = copy_paste
  data = dataset.build(config.lock())
  known = set()
  for index in range(16):
    example = parse(data.train.read([index])[0])
    known |= set(zip(example.objects.labels.tolist(), example.objects.areas.tolist(), strict=True))
  seen = set()
  for batch in itertools.islice(data.train_batches(0), 4):
    valid = batch.objects.valid
    areas = batch.objects.keypoints[valid][:, 0, 0].tolist()
    seen |= set(zip(batch.objects.labels[valid].tolist(), areas, strict=True))
    assert not batch.objects.keypoints[~valid].any()
  assert seen <= known and len(seen) > 10
