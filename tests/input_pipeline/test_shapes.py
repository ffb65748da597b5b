"""The generated data set: LVIS's form, LVIS's long tail, the same files every time."""

import collections
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from input_pipeline import preparation, shape_drawing, shapes
from input_pipeline.outlines import OUTLINES
from jaxdet.annotations import columns

SMALL = {'images': 20, 'val_images': 6, 'image_size': 64, 'categories': 12}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  out = tmp_path_factory.mktemp('shapes')
  shapes.generate(str(out), **SMALL, seed=1)
  return out


def load(folder, split):
  return json.loads((folder / f'{split}.json').read_text())


def digest(folder) -> dict[str, str]:
  files = sorted(path for path in folder.rglob('*') if path.is_file())
  return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_another_process_writes_the_same_bytes(folder, tmp_path):
  program = f'from input_pipeline import shapes; shapes.generate({str(tmp_path)!r}, **{SMALL}, seed=1)'
  root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
  subprocess.run([sys.executable, '-c', program], check=True, cwd=root)
  assert digest(tmp_path) == digest(folder)


def test_another_seed_draws_another_set(folder, tmp_path):
  shapes.generate(str(tmp_path), **SMALL, seed=2)
  assert load(tmp_path, 'train')['annotations'] != load(folder, 'train')['annotations']


def test_a_finished_set_is_left_as_it_is_and_an_unfinished_one_completed(tmp_path):
  shapes.generate(str(tmp_path), **SMALL, seed=1)
  expected = digest(tmp_path)
  time = os.stat(tmp_path / 'train.json').st_mtime_ns
  shapes.generate(str(tmp_path), **SMALL, seed=1)
  assert os.stat(tmp_path / 'train.json').st_mtime_ns == time
  settings = json.loads((tmp_path / 'shapes.json').read_text())
  (tmp_path / 'shapes.json').write_text(json.dumps({**settings, 'complete': False}))
  os.remove(tmp_path / 'images/val/000022.jpg')
  shapes.generate(str(tmp_path), **SMALL, seed=1)
  assert digest(tmp_path) == expected


def test_another_set_is_never_overwritten(folder, tmp_path):
  with pytest.raises(ValueError, match=r"generated with .*'categories': 12.* not .*'categories': 13"):
    shapes.generate(str(folder), **{**SMALL, 'categories': 13}, seed=1)
  (tmp_path / 'val.json').write_text('{}')
  with pytest.raises(ValueError, match=r'already holds another data set \(val\.json\)'):
    shapes.generate(str(tmp_path), **SMALL, seed=1)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'images': 0}, 'at least one image'),
    ({'image_size': 16}, 'at least 32 pixels, not 16'),
    ({'categories': 1203}, 'between 1 and 288 categories'),
  ],
)
def test_numbers_out_of_range_are_an_error(tmp_path, change, message):
  with pytest.raises(ValueError, match=message):
    shapes.generate(str(tmp_path / 'new'), **{**SMALL, **change}, seed=0)
  assert not (tmp_path / 'new').exists()


def test_the_form_is_that_of_lvis_v1(folder):
  for split, count in (('train', 20), ('val', 6)):
    content = load(folder, split)
    assert len(content['images']) == count
    for image in content['images']:
      with Image.open(folder / 'images' / image['file_name']) as picture:
        assert picture.size == (image['width'], image['height']) == (64, 64) and picture.mode == 'RGB'
      assert not set(image['neg_category_ids']) & {
        a['category_id'] for a in content['annotations'] if a['image_id'] == image['id']
      }
    assert content['categories'][0].keys() >= {'id', 'name', 'synset', 'synonyms', 'def', 'frequency'}
    assert len({a['id'] for a in content['annotations']}) == len(content['annotations'])
  train, val = load(folder, 'train'), load(folder, 'val')
  assert train['categories'] == val['categories']
  assert not {i['id'] for i in train['images']} & {i['id'] for i in val['images']}


def test_boxes_and_areas_are_those_of_the_polygons_inside_the_image(folder):
  for annotation in load(folder, 'train')['annotations']:
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in annotation['segmentation']])
    x, y, width, height = annotation['bbox']
    np.testing.assert_allclose([x, y, x + width, y + height], [*points.min(0), *points.max(0)], atol=0.011)
    assert points.min() >= 0 and points.max() <= 64
    assert 0 < annotation['area'] <= width * height + 0.1


def test_images_have_one_to_eight_objects_that_hardly_overlap(folder):
  content = load(folder, 'train')
  per_image = collections.Counter(a['image_id'] for a in content['annotations'])
  assert len(per_image) == 20 and max(per_image.values()) <= 8
  for image_id in per_image:
    covered = np.zeros((256, 256), int)
    total = 0
    for annotation in content['annotations']:
      if annotation['image_id'] == image_id:
        mask = Image.new('1', (256, 256))
        for polygon in annotation['segmentation']:
          ImageDraw.Draw(mask).polygon([4 * v for v in polygon], fill=1)
        covered += np.asarray(mask)
        total += np.asarray(mask).sum()
    assert (covered > 1).sum() < 0.15 * total


def test_the_long_tail_has_all_groups_and_validation_shows_every_category_twice():
  rng, order = np.random.default_rng(0), np.arange(48)
  shown = {
    split: collections.Counter(label for labels in shapes._assign(rng, count, order) for label in set(labels))
    for split, count in (('train', 2000), ('val', 200))
  }
  groups = collections.Counter('r' if n <= 10 else 'c' if n <= 100 else 'f' for n in shown['train'].values())
  assert groups['r'] >= 6 and groups['c'] >= 12 and groups['f'] >= 12
  assert len(shown['train']) == 48 and min(shown['train'].values()) >= 3
  assert len(shown['val']) == 48 and min(shown['val'].values()) >= 2


def test_the_tables_counts_are_those_of_the_training_split(folder):
  content = load(folder, 'train')
  for category in content['categories']:
    images = [a['image_id'] for a in content['annotations'] if a['category_id'] == category['id']]
    assert category['instance_count'] == len(images)
    assert category['image_count'] == len(set(images)) > 0
    assert category['frequency'] == ('r' if len(set(images)) <= 10 else 'c')


def test_a_category_that_is_not_exhaustive_lost_an_object_but_not_its_last():
  polygons = [np.zeros((3, 2))]
  objects = [(3, polygons), (5, polygons), (3, polygons), (3, polygons)]
  rng = np.random.default_rng(0)
  removed = 0
  for _ in range(200):
    left = list(objects)
    unfinished = shapes._leave_one_out(rng, left)
    removed += bool(unfinished)
    assert unfinished in ([], [3])
    assert [label for label, _ in left].count(3) == 3 - len(unfinished)
  assert 5 < removed < 50


def test_looks_are_all_different_and_alike_in_one_thing_at_most():
  assert len(set(shape_drawing.looks(shape_drawing.MAX_LOOKS))) == shape_drawing.MAX_LOOKS
  first = shape_drawing.looks(48)
  for i, a in enumerate(first):
    for b in first[:i]:
      if a.outline == b.outline or a.hue == b.hue:
        assert (a.outline == b.outline) + (a.hue == b.hue) + (a.texture == b.texture) == 1


@pytest.mark.parametrize('outline', OUTLINES)
def test_what_is_drawn_is_what_its_polygons_cover(outline):
  picture = np.full((64, 64, 3), 250, np.float32)
  picture[..., 0] = np.arange(64)  # no flat ground: a pixel that stays is seen to stay
  before = picture.copy()
  look = shape_drawing.Look(outline, 'black', 'plain')
  polygons = shape_drawing.draw(picture, look, (30.3, 33.7), 22.0, 0.7)
  mask = Image.new('L', (640, 640))
  for polygon in polygons:
    ImageDraw.Draw(mask).polygon([tuple(p) for p in (polygon * 10 - 0.5).tolist()], fill=1)
  cover = np.asarray(mask, np.float64).reshape(64, 10, 64, 10).mean(axis=(1, 3))
  dark = picture[..., 1] < 45
  assert (dark == (cover > 0.95))[(cover > 0.99) | (cover < 0.3)].all()
  np.testing.assert_array_equal(picture[:4], before[:4])


def test_the_set_is_prepared_like_any_other(folder, tmp_path):
  found = columns.read(str(folder / 'train.json'))
  assert sum(count for name, count in found.counts.items() if name.startswith('dropped')) == 0
  prepared = preparation.prepare(str(folder / 'train.json'), str(folder), str(tmp_path), 'train')
  assert len(prepared) == 20 and len(prepared.categories) == 12
  assert prepared.file_names[0] == 'images/train/000001.jpg'
