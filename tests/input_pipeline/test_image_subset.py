"""Image ids from files, and the records of these images."""

import gzip
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mini_photos
from input_pipeline import dataset
from input_pipeline.image_subset import coco_val_ids, read_image_ids

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'minival.py'
URL = 'http://images.cocodataset.org/{}/000000000009.jpg'


def test_ids_are_read_from_a_list_a_text_file_and_an_annotation_file(tmp_path):
  path = tmp_path / 'ids'
  images = json.dumps({'images': [{'id': 7}, {'id': 3}], 'annotations': [], 'categories': []})
  for content in ('[7, 3, 7]', ' \n[7,\n3]', '[7, "3", 7.0]', '\ufeff7\n3', '7\n3\n\n', '3\r\n7', images):
    path.write_text(content)
    assert read_image_ids(str(path)).tolist() == [3, 7], content
  with gzip.open(tmp_path / 'val.json.gz', 'wt') as file:
    file.write(images)
  assert read_image_ids(str(tmp_path / 'val.json.gz')).tolist() == [3, 7]


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('7\nval2017/3.jpg', "'val2017/3.jpg' is no image id: write a JSON list .*, or one in each line"),
    ('[7, 3', 'is no JSON list of image ids: .*delimiter'),
    ('[7, "x3"]', "'x3' is no image id"),
    ('[7, null, true]', r'has 2 problems:\s+null is no image id'),
    ('[7.5]', '7.5 is no image id'),
    ('', 'names no image'),
    ('{"ids": [7]}', 'has no images'),
    ('{"images": [{"id": 7}, {"id": 1.5}]}', 'image 1.5 has id 1.5: expected an integer'),
  ],
)
def test_files_that_hold_no_ids(tmp_path, content, message):
  (tmp_path / 'ids').write_text(content)
  with pytest.raises(ValueError, match=message):
    read_image_ids(str(tmp_path / 'ids'))


def test_a_missing_file_is_named():
  with pytest.raises(FileNotFoundError, match='no/such.txt: see eval.image_ids'):
    read_image_ids('no/such.txt')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return mini_photos.make_folder(tmp_path_factory.mktemp('subset') / 'data', 4, 10)


def build(folder, image_ids):
  config = mini_photos.make_config(folder, train=()).unlock()
  config.eval.image_ids = str(image_ids)
  return dataset.build(config.lock())


def test_evaluation_sees_these_images_alone(folder, tmp_path):
  whole = build(folder, '')
  chosen = [8, 1, 4]
  (tmp_path / 'ids.json').write_text(json.dumps(whole.image_ids[chosen].tolist()))
  part = build(folder, tmp_path / 'ids.json')
  assert part.image_ids.tolist() == whole.image_ids[sorted(chosen)].tolist()
  assert part.image_files == tuple(whole.image_files[i] for i in sorted(chosen))
  pixels = {}
  for split in (whole, part):
    for batch in split.eval_batches():
      for row in np.flatnonzero(batch.valid):
        pixels.setdefault(int(split.image_ids[batch.index[row]]), []).append(batch.image[row])
  assert len(pixels) == 10
  twice = {id: images for id, images in pixels.items() if len(images) == 2}
  assert sorted(twice) == sorted(part.image_ids)
  assert all(np.array_equal(*images) for images in twice.values())


def test_ids_of_another_split_are_an_error(folder, tmp_path):
  own = build(folder, '').image_ids[:2].tolist()
  (tmp_path / 'ids.txt').write_text('\n'.join(map(str, [*own, -5, -7])))
  message = (
    r"2 of the 4 image ids in .*ids.txt \(eval.image_ids\) are not in split 'val' of 10 images, among them -7, -5"
  )
  with pytest.raises(ValueError, match=message):
    build(folder, tmp_path / 'ids.txt')


def test_the_script_writes_the_images_of_cocos_val2017(tmp_path):
  images = [{'id': i, 'coco_url': URL.format(split)} for i, split in ((5, 'val2017'), (6, 'train2017'), (2, 'val2017'))]
  (tmp_path / 'val.json').write_text(json.dumps({'images': images}))
  command = [sys.executable, SCRIPT, tmp_path / 'val.json', '--output', tmp_path / 'ids.json']
  assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.startswith('2 images')
  assert read_image_ids(str(tmp_path / 'ids.json')).tolist() == [2, 5]


@pytest.mark.parametrize(
  ('image', 'message'),
  [({'id': 6}, "image 6 has no 'coco_url'"), ({'id': 6, 'coco_url': URL.format('train2017')}, 'no image of COCO')],
)
def test_files_that_cannot_tell_where_images_come_from(tmp_path, image, message):
  (tmp_path / 'val.json').write_text(json.dumps({'images': [image]}))
  with pytest.raises(ValueError, match=message):
    coco_val_ids(str(tmp_path / 'val.json'))
