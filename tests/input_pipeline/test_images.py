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
  assert images.find(str(tmp_path), ['val2017/1.jpg']) == ([layout], {})


@pytest.mark.parametrize('layout', ['COCO_val2014_000000000007.jpg', 'val2017/000000000007.jpg', '000000000007.jpg'])
def test_names_of_2014_are_found_under_those_of_2017(tmp_path, layout):
  touch(tmp_path, layout)
  assert images.find(str(tmp_path), ['COCO_val2014_000000000007.jpg']) == ([layout], {})


def test_the_folder_in_a_name_wins_over_other_folders(tmp_path):
  touch(tmp_path, 'images/train/1.jpg', 'images/val/1.jpg', '1.jpg')
  assert images.find(str(tmp_path), ['val/1.jpg', 'train/1.jpg'])[0] == ['images/val/1.jpg', 'images/train/1.jpg']


def test_missing_images_are_named(tmp_path):
  touch(tmp_path, 'val2017/1.jpg')
  found, missing = images.find(str(tmp_path), ['val2017/1.jpg', 'val2017/2.jpg', '3.jpg'])
  assert found == ['val2017/1.jpg', '', '']
  assert missing == {'val2017/2.jpg': 'not found', '3.jpg': 'not found'}
  assert images.find(str(tmp_path / 'nowhere'), ['1.jpg']) == ([''], {'1.jpg': 'not found'})


def problem(root, name: str) -> str:
  """The problem of a single name, which must not be found."""
  (path,), problems = images.find(str(root), [name])
  assert path == '' and list(problems) == [name]
  return problems[name]


def path_of(root, name: str) -> str:
  """The path of a single name, which must have no problem."""
  (path,), problems = images.find(str(root), [name])
  assert problems == {}
  return path


@pytest.mark.parametrize('name', ['cam2/1.jpg', 'train/1.jpg', 'a/cam1/1.jpg', 'cam1/2.jpg'])
def test_a_file_whose_path_ends_otherwise_is_not_the_image(tmp_path, name):
  touch(tmp_path, 'cam1/1.jpg', 'images/cam1/1.jpg', '1.jpg', 'images/1.jpg')
  assert problem(tmp_path, name) == 'not found'


@pytest.mark.parametrize('layout', ['set/a/b/1.jpg', 'images/set/a/b/1.jpg', 'images/a/b/1.jpg', 'a/b/1.jpg'])
def test_all_parts_of_a_name_are_searched_together(tmp_path, layout):
  touch(tmp_path, layout, 'b/1.jpg', 'set/b/1.jpg', 'set/1.jpg')
  assert path_of(tmp_path, 'a/b/1.jpg') == layout


def test_a_folder_of_coco_may_be_missing_but_no_other_split_takes_its_place(tmp_path):
  touch(tmp_path, 'val2017/1.jpg', 'images/test/2.jpg', 'photos/3.jpg')
  assert problem(tmp_path, 'train2017/1.jpg') == 'not found'
  assert problem(tmp_path, 'images/train2017/2.jpg') == 'not found'
  assert path_of(tmp_path, 'images/train2017/3.jpg') == 'photos/3.jpg'


def test_a_name_of_two_files_is_neither(tmp_path):
  touch(tmp_path, 'masks/1.png', 'photos/1.png', 'images/train/2.png', 'val/2.png', 'images/3.png', 'val/3.png')
  assert problem(tmp_path, '1.png') == 'may be masks/1.png or photos/1.png: write its folder too'
  assert problem(tmp_path, '2.png') == 'may be val/2.png or images/train/2.png: write its folder too'
  assert path_of(tmp_path, 'photos/1.png') == 'photos/1.png'
  assert path_of(tmp_path, '3.png') == 'images/3.png'


def test_a_file_that_is_reached_in_two_ways_is_one(tmp_path):
  touch(tmp_path, 'photos/1.png')
  (tmp_path / 'again').symlink_to('photos')
  assert path_of(tmp_path, '1.png') == 'again/1.png'


def test_no_file_is_two_images(tmp_path):
  touch(tmp_path, 'images/1.jpg', 'images/2.jpg')
  names = ['train2017/1.jpg', '2.jpg', 'val2017/1.jpg', 'test2017/1.jpg', '2.jpg']
  found, problems = images.find(str(tmp_path), names)
  assert found == ['', 'images/2.jpg', '', '', 'images/2.jpg']
  assert problems == {
    name: f'is the file images/1.jpg, and so is {others}: give every image a file of its own'
    for name, others in (
      ('train2017/1.jpg', "'val2017/1.jpg', 'test2017/1.jpg'"),
      ('val2017/1.jpg', "'train2017/1.jpg', 'test2017/1.jpg'"),
      ('test2017/1.jpg', "'train2017/1.jpg', 'val2017/1.jpg'"),
    )
  }


@pytest.mark.parametrize(
  'name',
  ['../1.jpg', 'images/../../1.jpg', '/1.jpg', '/etc/1.jpg', '..\\1.jpg', 'C:\\images\\1.jpg', 'c:/images/1.jpg'],
)
def test_names_that_lead_out_of_the_root_are_refused(tmp_path, name):
  touch(tmp_path, 'data/images/1.jpg', '1.jpg', 'data/1.jpg')
  root = tmp_path / 'data'
  assert problem(root, name) == f'leads out of {root}: write the path below this folder'


def test_an_absolute_name_below_the_root_is_found(tmp_path):
  touch(tmp_path, 'data/images/1.jpg', 'database/1.jpg')
  (tmp_path / 'linked').symlink_to('data')
  for root in (tmp_path / 'data', tmp_path / 'linked'):
    for folder in dict.fromkeys((tmp_path / 'data', root)):
      assert path_of(root, f'{folder}/images/1.jpg') == 'images/1.jpg'
    assert 'leads out' in problem(root, f'{tmp_path}/database/1.jpg')


def test_backslashes_separate_parts_unless_a_file_has_them_in_its_name(tmp_path):
  touch(tmp_path, 'images/a/1.jpg', 'images/b\\2.jpg', 'images/b/2.jpg')
  assert path_of(tmp_path, 'images\\a\\1.jpg') == 'images/a/1.jpg'
  assert path_of(tmp_path, 'a\\1.jpg') == 'images/a/1.jpg'
  assert path_of(tmp_path, 'b\\2.jpg') == 'images/b\\2.jpg'
  assert problem(tmp_path, 'c\\1.jpg') == 'not found'


@pytest.mark.parametrize(
  ('name', 'there'),
  [
    ('IMG.JPG', 'images/img.jpg'),
    ('Set/img.jpg', 'set/img.jpg'),
    ('a%20b.jpg', 'set/a b.jpg'),
    ('gro\u0308sse.jpg', 'images/gr\u00f6sse.jpg'),
  ],
)
def test_a_name_of_other_spelling_is_missing_and_the_near_one_is_told(tmp_path, name, there):
  touch(tmp_path, 'images/img.jpg', 'set/img.jpg', 'set/a b.jpg', 'images/gr\u00f6sse.jpg')
  assert problem(tmp_path, name) == f'not found; there is {there}, which is another name'


def test_linked_folders_are_the_users_layout(tmp_path):
  touch(tmp_path, 'disk/1.jpg', 'disk/blobs/2')
  (tmp_path / 'disk' / '2.jpg').symlink_to('blobs/2')
  (tmp_path / 'data').mkdir()
  (tmp_path / 'data' / 'images').symlink_to(tmp_path / 'disk')
  (tmp_path / 'linked').symlink_to('data')
  for root in (tmp_path / 'data', tmp_path / 'linked'):
    assert images.find(str(root), ['1.jpg', '2.jpg']) == (['images/1.jpg', 'images/2.jpg'], {})


def test_linked_files_stay_below_the_root(tmp_path):
  touch(tmp_path, 'data/store/1', 'elsewhere.jpg', 'data/images/3.jpg')
  for name, target in (('1', 'data/store/1'), ('2', 'elsewhere.jpg'), ('4', '2.jpg'), ('5', '5.jpg')):
    (tmp_path / 'data' / 'images' / f'{name}.jpg').symlink_to(tmp_path / target)
  (tmp_path / 'data' / 'images' / '5.jpg').unlink()
  (tmp_path / 'data' / 'images' / '5.jpg').symlink_to('5.jpg')
  root = tmp_path / 'data'
  assert path_of(root, '1.jpg') == 'images/1.jpg'
  assert problem(root, '2.jpg') == (
    f'images/2.jpg is a link out of the folder of images, to {tmp_path}/elsewhere.jpg: '
    'copy the file, or link the whole folder'
  )
  assert problem(root, 'images/4.jpg') == f'not found: it is a link to {tmp_path}/2.jpg, which is not there'
  assert 'cannot be followed' in problem(root, 'images/5.jpg')


def test_only_regular_files_are_read(tmp_path):
  (tmp_path / 'images' / '1.jpg').mkdir(parents=True)
  os.mkfifo(tmp_path / '2.jpg')
  (tmp_path / '3.jpg').symlink_to('/dev/zero')
  (tmp_path / 'set').mkdir()
  os.mkfifo(tmp_path / 'set' / '4.jpg')
  assert problem(tmp_path, 'images/1.jpg') == 'is a folder'
  for name in ('2.jpg', '3.jpg', 'set/4.jpg'):
    assert problem(tmp_path, name) == 'is no regular file (a pipe, a socket or a device)'
  assert problem(tmp_path, '4.jpg') == 'set/4.jpg is no regular file (a pipe, a socket or a device)'


@pytest.mark.parametrize('name', ['', '.', '/', 'images/', 'a\0b.jpg', 'x' * 5000, '\ud800.jpg'])
def test_names_that_no_file_can_have_are_missing(tmp_path, name):
  touch(tmp_path, 'images/1.jpg')
  assert problem(tmp_path, name)


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
  touch(tmp_path, 'images/1.jpg', 'lost+found/2.jpg')
  scandir = os.scandir

  def closed(path):
    if 'lost' in str(path):
      raise PermissionError(13, 'Permission denied')
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', closed)
  assert path_of(tmp_path, '1.jpg') == 'images/1.jpg'
  assert problem(tmp_path, '2.jpg') == 'not found; the folder lost+found may not be read'


def test_folders_are_listed_once(tmp_path, monkeypatch):
  touch(tmp_path, *(f'images/val2017/{i}.jpg' for i in range(50)))
  listed = []
  scandir = os.scandir
  monkeypatch.setattr(os, 'scandir', lambda path: listed.append(str(path)) or scandir(path))
  found, missing = images.find(str(tmp_path), [f'val2017/{i}.jpg' for i in range(60)])
  assert len(missing) == 10
  assert len(listed) == len(set(listed)) <= 3
