"""Data sets of boxes alone, from their files to the metrics: PASCAL VOC, and COCO without segmentations."""

import csv
import json
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import voc_case
from configs.detectron2 import faster_rcnn
from input_pipeline import dataset
from input_pipeline.examples import parse
from jaxdet.annotations.files import find
from jaxdet.data_commands import print_counts
from jaxdet.evaluation import evaluate
from jaxdet.evaluation.ground_truth import load_ground_truth
from jaxdet.structures import Detections

TRAIN_2007 = {
  '000005': ((60, 80), [('dog', (11, 21, 50, 60), 0), ('cat', (1, 1, 80, 60), 1)]),
  '000007': ((80, 60), [('person', (5, 5, 24, 39), 0)]),
}
TRAIN_2012 = {'2008_000015': ((60, 80), [('bottle', (41, 11, 60, 50), 0), ('person', (21, 1, 40, 12), 0)])}
TEST = {
  '000001': ((60, 80), [('dog', (11, 21, 50, 60), 0), ('dog', (31, 1, 70, 20), 0), ('cat', (1, 1, 80, 60), 1)]),
  '000002': ((80, 60), [('person', (5, 5, 24, 39), 0)]),
  '000003': ((60, 80), []),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('VOCdevkit')
  voc_case.write_split(folder, 'VOC2007', 'trainval', TRAIN_2007)
  voc_case.write_split(folder, 'VOC2012', 'trainval', TRAIN_2012)
  voc_case.write_split(folder, 'VOC2007', 'test', TEST)
  return folder


def make_config(folder: pathlib.Path, variant: str, **data):
  """Faster R-CNN's, with images as large as their files and no flips; `data` replaces settings of config.data."""
  config = faster_rcnn.get_config(variant).unlock()
  config.data.dir = str(folder)
  config.data.canvases = ((64, 96), (96, 64))
  config.data.max_objects = 4
  config.data.resize.update(sizes=(60,), test_size=60, max_size=80)
  config.data.flip = 0.0
  config.train.batch_size = config.eval.batch_size = 1
  config.eval.pictures = 1
  for name, value in data.items():
    config.data[name] = value
  return config.lock()


@pytest.fixture(scope='module')
def voc(folder):
  return dataset.build(make_config(folder, 'dataset=voc'))


def training_boxes(built) -> dict[int, list[list[float]]]:
  """Boxes by image id, of as many steps as see every image."""
  boxes = {}
  batches = built.train_batches(0)
  while len(boxes) < built.num_train_images:
    batch = next(batches)
    assert batch.objects.boxes.shape == (1, 4, 4) and batch.objects.masks is None
    rows = batch.objects.boxes[0][batch.objects.valid[0]]
    boxes[int(built.train.image_ids[batch.index[0]])] = rows.tolist()
  return boxes


class Oracle:
  """Finds the objects of a data set, with scores of 0.9."""

  def __init__(self, truth, image_ids):
    rows = [np.flatnonzero(truth.image_ids[truth.image] == id) for id in image_ids]
    self.boxes = np.zeros((len(rows), 4, 4), np.float32)
    self.labels, self.valid = np.zeros((len(rows), 4), np.int32), np.zeros((len(rows), 4), bool)
    for i, row in enumerate(rows):
      self.boxes[i, : len(row)] = truth.boxes[row]
      self.labels[i, : len(row)], self.valid[i, : len(row)] = truth.label[row], True
    self.boxes[..., 2:] += self.boxes[..., :2]

  networks = {}

  def predict(self, call, batch):
    del call
    scale = (batch.image_size / batch.original_size)[:, None, jnp.array([1, 0, 1, 0])]
    boxes, labels, valid = (jnp.asarray(each)[batch.index] for each in (self.boxes, self.labels, self.valid))
    valid &= batch.valid[:, None]
    return Detections(boxes * scale, jnp.full(valid.shape, 0.9), labels, valid, None, jnp.zeros(len(valid), bool))


class TestVoc:
  def test_the_protocols_fields(self, voc, folder):
    assert len(voc.categories) == 20 and voc.categories[11].name == 'dog'
    assert voc.num_train_images == 3 and voc.image_ids.tolist() == [1, 2, 3]
    assert voc.annotations == str(folder / 'VOC2007' / 'test')
    assert voc.image_files[0] == str(folder / 'VOC2007' / 'JPEGImages' / '000001.jpg')
    assert all(map(os.path.exists, voc.image_files))

  def test_records_hold_both_years_their_names_and_what_is_difficult(self, voc):
    assert voc.train.image_ids.tolist() == [5, 7, 2008000015]
    assert voc.train.file_names[2] == 'VOC2012/JPEGImages/2008_000015.jpg'
    assert voc.train.counts['ignored'] == 1 and voc.train.counts['objects_without_mask'] == 5
    objects = parse(voc.train.read([0])[0]).objects
    np.testing.assert_array_equal(objects.boxes, [[10, 20, 50, 60], [0, 0, 80, 60]])
    np.testing.assert_array_equal(objects.ignored, [0, 1])

  def test_training_sees_difficult_objects_as_in_detectron2(self, voc):
    assert training_boxes(voc) == {
      5: [[10, 20, 50, 60], [0, 0, 80, 60]],
      7: [[4, 4, 24, 39]],
      2008000015: [[40, 10, 60, 50], [20, 0, 40, 12]],
    }

  def test_training_leaves_out_what_mmdetection_ignores(self, folder):
    built = dataset.build(make_config(folder, 'dataset=voc', ignore={'marked': True, 'min_side': 20}))
    assert training_boxes(built) == {5: [[10, 20, 50, 60]], 7: [[4, 4, 24, 39]], 2008000015: [[40, 10, 60, 50]]}

  def test_records_are_made_anew_when_an_objects_file_changes(self, tmp_path):
    voc_case.write_split(tmp_path, 'VOC2007', 'test', TEST)
    config = make_config(tmp_path, 'dataset=voc', train=())
    assert dataset.build(config).val.labels[1].tolist() == [14]
    xml = tmp_path / 'VOC2007' / 'Annotations' / '000002.xml'
    xml.write_text(xml.read_text().replace('person', 'bottle'))
    assert dataset.build(config).val.labels[1].tolist() == [4]

  def test_perfect_results_have_full_marks(self, voc, tmp_path, capsys):
    truth = load_ground_truth(voc.annotations)
    metrics = evaluate(voc.config, Oracle(truth, voc.image_ids), {}, voc, str(tmp_path))
    assert (metrics['protocol'], metrics['images'], metrics['diagnosis']) == ('voc', 3, [])
    names = ('AP50_11', 'AP50', 'AP', 'AP75', 'AP_11', 'AP75_11', 'AR', 'F1')
    assert [metrics['bbox'][name] for name in names] == pytest.approx([100] * 8)
    assert 'AP50_11' in capsys.readouterr().out
    assert (tmp_path / 'pictures' / '1.jpg').exists()
    with open(tmp_path / 'per_category.csv') as file:
      rows = {row['name']: row for row in csv.DictReader(file)}
    dog = rows['dog']
    assert (dog['val_instances'], dog['bbox_AP50_11'], dog['bbox_AP']) == ('2', '100.000', '100.000')
    assert (rows['cat']['val_instances'], rows['cat']['bbox_AP50']) == ('1', '')  # difficult alone

  def test_counts_of_classes(self, voc, capsys):
    print_counts(voc.config)
    assert '3 images; an epoch of the sampler uniform shows 3' in capsys.readouterr().out

  def test_missing_splits_are_named(self, folder):
    names = ('VOC2007/trainval+VOC2010/trainval', 'VOC2007/val')
    with pytest.raises(FileNotFoundError, match='none of .*VOC2010/ImageSets/Main/trainval.txt, .*Main/val.txt exists'):
      find(str(folder), names)

  def test_training_with_masks_is_an_error(self, folder):
    with pytest.raises(ValueError, match='no object of .*trainval has a mask.*config.data.mask_size'):
      dataset.build(make_config(folder, 'dataset=voc', mask_size=32))


class TestCocoWithoutSegmentations:
  @pytest.fixture
  def config(self, tmp_path):
    content = {
      'images': [{'id': i, 'height': 60, 'width': 80, 'file_name': f'{i}.png'} for i in (1, 2)],
      'categories': [{'id': 4, 'name': 'kite'}],
      'annotations': [
        {'id': i, 'image_id': i, 'category_id': 4, 'bbox': [10, 10, 20, 30 + i], 'area': 20 * (30 + i)} for i in (1, 2)
      ],
    }
    for image in content['images']:
      Image.new('RGB', (80, 60), (image['id'], 100, 200)).save(tmp_path / image['file_name'])
    for split in ('train', 'val'):
      (tmp_path / f'{split}.json').write_text(json.dumps(content))
    return make_config(tmp_path, 'dataset=coco', mask_size=0, max_vertices=0)

  def test_from_the_file_to_the_metrics(self, config, tmp_path):
    built = dataset.build(config)
    assert training_boxes(built) == {1: [[10, 10, 30, 41]], 2: [[10, 10, 30, 42]]}
    oracle = Oracle(load_ground_truth(built.annotations), built.image_ids)
    metrics = evaluate(config, oracle, {}, built, str(tmp_path / 'run'))
    assert (metrics['protocol'], metrics['diagnosis']) == ('coco', [])
    assert [metrics['bbox'][name] for name in ('AP', 'AP50', 'AR@100')] == pytest.approx([100] * 3)

  def test_training_with_masks_is_an_error(self, config):
    with config.unlocked():
      config.data.mask_size = 32
    with pytest.raises(ValueError, match=r'no object of .*train.json has a mask'):
      dataset.build(config)
