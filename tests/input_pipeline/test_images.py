"""Image files: found in any layout, and what is wrong with one."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from input_pipeline import images


def touch(root, *names):
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


@pytest.mark.parametrize(
  'layout', ['val2017/1.jpg', 'images/val2017/1.jpg', '1.jpg', 'images/1.jpg', 'photos/1.jpg', 'images/val/1.jpg']
)
def test_a_name_with_its_folder_is_found_in_every_layout(tmp_path, layout):
  touch(tmp_path, layout)
  assert images.find(str(tmp_path), ['val2017/1.jpg']) == ([layout], [])


@pytest.mark.parametrize('layout', ['COCO_val2014_000000000007.jpg', 'val2017/000000000007.jpg', '000000000007.jpg'])
def test_names_of_2014_are_found_under_those_of_2017(tmp_path, layout):
  touch(tmp_path, layout)
  assert images.find(str(tmp_path), ['COCO_val2014_000000000007.jpg']) == ([layout], [])


def test_the_folder_in_a_name_wins_over_other_folders(tmp_path):
  touch(tmp_path, 'images/train/1.jpg', 'images/val/1.jpg', '1.jpg')
  assert images.find(str(tmp_path), ['val/1.jpg', 'train/1.jpg'])[0] == ['images/val/1.jpg', 'images/train/1.jpg']


def test_missing_images_are_named(tmp_path):
  touch(tmp_path, 'val2017/1.jpg')
  found, missing = images.find(str(tmp_path), ['val2017/1.jpg', 'val2017/2.jpg', '3.jpg'])
  assert found == ['val2017/1.jpg', '', '']
  assert missing == ['val2017/2.jpg', '3.jpg']
  assert images.find(str(tmp_path / 'nowhere'), ['1.jpg']) == ([''], ['1.jpg'])


def test_folders_are_listed_once(tmp_path, monkeypatch):
  touch(tmp_path, *(f'images/val2017/{i}.jpg' for i in range(50)))
  listed = []
  scandir = os.scandir
  monkeypatch.setattr(os, 'scandir', lambda path: listed.append(str(path)) or scandir(path))
  found, missing = images.find(str(tmp_path), [f'val2017/{i}.jpg' for i in range(60)])
  assert len(missing) == 10
  assert len(listed) == len(set(listed)) <= 3


def jpeg(height=24, width=40, **options) -> bytes:
  pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG', **options)
  return file.getvalue()


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'quality': 30}])
def test_a_whole_jpeg_of_the_annotated_size_is_fine(options):
  assert images.check(jpeg(**options), 24, 40) == ''


def test_other_formats_and_grey_images_are_fine():
  for mode, kind in (('RGB', 'PNG'), ('L', 'JPEG'), ('L', 'PNG')):
    file = io.BytesIO()
    Image.new(mode, (40, 24)).save(file, kind)
    assert images.check(file.getvalue(), 24, 40) == ''


def test_another_size_is_named():
  assert images.check(jpeg(), 40, 24) == 'is 24 x 40 pixels, annotated as 40 x 24'


def test_a_camera_held_upright_may_exchange_height_and_width():
  exif = Image.Exif()
  exif[images.ORIENTATION] = 6
  assert images.check(jpeg(exif=exif), 40, 24) == ''
  assert images.check(jpeg(exif=exif), 24, 40) == ''
  exif[images.ORIENTATION] = 3  # upside down
  assert images.check(jpeg(exif=exif), 40, 24) == 'is 24 x 40 pixels, annotated as 40 x 24'


@pytest.mark.parametrize('options', [{}, {'progressive': True}])
@pytest.mark.parametrize('lost', [2, 100, 900])
def test_a_jpeg_that_was_cut_off_is_named(lost, options):
  assert 'does not decode' in images.check(jpeg(**options)[:-lost], 24, 40)


def test_what_is_no_image_is_named():
  assert images.check(b'<html>404</html>', 24, 40) == 'is not an image'
  assert images.check(b'', 24, 40) == 'is not an image'
