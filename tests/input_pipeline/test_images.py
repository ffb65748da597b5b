"""Image files are found in any layout."""

import os

import pytest

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
