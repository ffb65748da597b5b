"""Records of several sources in one data folder: each run reads its own, and sees what has changed."""

import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import annotation_identity, examples, lock, records, splits
from input_pipeline.fields.table import Fields
from input_pipeline.records import Records
from jaxdet.annotations import columns

FIELDS = Fields((), (), 0)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
  monkeypatch.setattr(records, 'IMAGES_PER_SHARD', 2)


def draw(folder: pathlib.Path, number: int, colour: int):
  """An uncompressed picture: all have the same size in bytes."""
  (folder / 'images').mkdir(parents=True, exist_ok=True)
  Image.new('RGB', (30, 20), (colour, 0, 0)).save(folder / 'images' / f'{number}.bmp')


def annotate(folder: pathlib.Path, name: str, numbers=(1, 2, 3, 4, 5), x: int = 1, category: int = 1):
  content = {
    'images': [{'id': i, 'height': 20, 'width': 30, 'file_name': f'{i}.bmp'} for i in numbers],
    'annotations': [
      {'id': i, 'image_id': i, 'category_id': category, 'bbox': [x, 1, 5, 5], 'area': 25} for i in numbers
    ],
    'categories': [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}],
  }
  (folder / name).write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
  """Five pictures and their annotations, train.json."""
  for number in range(1, 6):
    draw(tmp_path / 'data', number, number)
  annotate(tmp_path / 'data', 'train.json')
  return tmp_path / 'data'


def open_split(folder, names=('train.json',), split='train', workdir='', records='records') -> Records:
  return splits.open_split(ConfigDict({'dir': str(folder), 'records': records}), split, names, FIELDS, workdir)[1]


def colours(opened: Records) -> list[int]:
  """Red of the first pixel of every image."""
  read = [examples.parse(record).encoded for record in opened.read(range(len(opened)))]
  return [encoded[56] for encoded in read]  # after 54 bytes of header, blue and green


def left(opened: Records) -> list[float]:
  return [examples.parse(record).objects.boxes[0, 0] for record in opened.read(range(len(opened)))]


def written(opened: Records) -> list[int]:
  return [os.stat(path).st_ino for path in records.shard_paths(opened.folder, opened.split, len(opened))]


def test_two_annotation_files_of_one_folder_keep_their_records(folder):
  annotate(folder, 'fold1.json', (1, 2, 3), x=3)
  annotate(folder, 'fold2.json', (4, 5), x=7, category=2)
  first = open_split(folder, ('fold1.json',))
  second = open_split(folder, ('fold2.json',))
  assert colours(first) == [1, 2, 3] and left(first) == [3] * 3 and first.labels.values.tolist() == [0] * 3
  assert colours(second) == [4, 5] and left(second) == [7] * 2 and second.labels.values.tolist() == [1] * 2
  assert open_split(folder, ('fold1.json',)).folder == first.folder


def test_one_annotation_file_in_two_splits(folder):
  train, val = open_split(folder), open_split(folder, split='val')
  assert train.folder != val.folder and colours(train) == colours(val)


def test_one_name_of_annotations_in_two_data_folders_with_common_records(folder, tmp_path):
  other = tmp_path / 'other'
  for number in range(1, 6):
    draw(other, number, 100 + number)
    shutil.copystat(folder / 'images' / f'{number}.bmp', other / 'images' / f'{number}.bmp')
  annotate(other, 'train.json')
  common = str(tmp_path / 'records')
  assert colours(open_split(folder, records=common)) == [1, 2, 3, 4, 5]
  assert colours(open_split(other, records=common)) == [101, 102, 103, 104, 105]


def test_a_changed_annotation_makes_new_records(folder, caplog):
  before = open_split(folder)
  annotate(folder, 'train.json', x=2)  # as many bytes
  with caplog.at_level(logging.INFO, logger='absl'):
    after = open_split(folder)
  assert left(after) == [2] * 5 and left(before) == [1] * 5
  assert caplog.messages == [
    f"Making records of split 'train' in {after.folder}. Other records of this split may be deleted if no run uses "
    f'them: {before.folder}/detection-train.* (0.00 GB; other: the annotations)'
  ]


def test_a_replaced_image_of_the_same_size_is_seen_and_its_shard_alone_is_made(folder, caplog):
  before = open_split(folder)
  draw(folder, 3, 77)
  with caplog.at_level(logging.INFO, logger='absl'):
    after = open_split(folder)
  assert colours(after) == [1, 2, 77, 4, 5] and colours(before) == [1, 2, 3, 4, 5]
  assert 'other: the image files)' in caplog.text
  assert [a == b for a, b in zip(written(before), written(after), strict=True)] == [True, False, True]
  shutil.rmtree(before.folder)
  assert colours(open_split(folder)) == [1, 2, 77, 4, 5]


def test_an_image_that_comes_back_finds_its_records_again(folder):
  before = open_split(folder)
  shutil.copy2(folder / 'images' / '3.bmp', folder / 'kept')
  draw(folder, 3, 77)
  open_split(folder)
  os.replace(folder / 'kept', folder / 'images' / '3.bmp')
  assert open_split(folder).folder == before.folder


def test_an_image_that_moves_makes_new_records(folder):
  before = open_split(folder)
  (folder / 'pictures').mkdir()
  os.rename(folder / 'images' / '3.bmp', folder / 'pictures' / '3.bmp')
  after = open_split(folder)
  assert after.folder != before.folder and after.file_names[2] == 'pictures/3.bmp'


def test_a_start_reads_neither_annotations_nor_images(folder, monkeypatch, caplog):
  before = open_split(folder)
  monkeypatch.setattr(columns, 'read', None)
  monkeypatch.setattr(annotation_identity, '_sha256', None)
  monkeypatch.setattr(lock, '_create', None)
  with caplog.at_level(logging.INFO, logger='absl'):
    assert open_split(folder).folder == before.folder
  assert caplog.messages == []


def test_annotations_of_another_time_and_the_same_content_are_not_read_again(folder, monkeypatch):
  before = open_split(folder)
  os.utime(folder / 'train.json', (0, 0))
  monkeypatch.setattr(columns, 'read', None)
  assert open_split(folder).folder == before.folder
  monkeypatch.setattr(annotation_identity, '_sha256', None)  # known by the new time now
  assert open_split(folder).folder == before.folder


def test_a_data_folder_may_be_moved_or_linked(folder, tmp_path, monkeypatch):
  before = open_split(folder)
  os.rename(folder, tmp_path / 'moved')
  (tmp_path / 'linked').symlink_to('moved')
  monkeypatch.setattr(columns, 'read', None)
  monkeypatch.chdir(tmp_path)
  for place in (tmp_path / 'moved', tmp_path / 'linked', pathlib.Path('moved')):
    assert os.path.basename(open_split(place).folder) == os.path.basename(before.folder)


def test_records_of_an_earlier_version_are_left_alone_and_told(folder, caplog):
  (folder / 'records').mkdir()
  manifest = {'version': 2, 'complete': True, 'source': {'bytes': 1, 'mtime_ns': 2, 'sha256': ''}, 'num_images': 5}
  records.save_manifest(str(folder / 'records'), 'train', manifest)
  with caplog.at_level(logging.INFO, logger='absl'):
    assert len(open_split(folder)) == 5
  (message,) = caplog.messages
  assert f'{folder}/records/detection-train.* (0.00 GB; other: the format of records)' in message


def test_annotations_that_change_while_work_is_interrupted(folder, monkeypatch):
  serialize = examples.serialize

  def stop_at_the_fourth(example):
    if example.image_id == 4:
      raise KeyboardInterrupt
    return serialize(example)

  with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
    context.setattr(examples, 'serialize', stop_at_the_fourth)
    open_split(folder)
  annotate(folder, 'train.json', x=2)
  assert left(open_split(folder)) == [2] * 5
  annotate(folder, 'train.json', x=1)
  assert left(open_split(folder)) == [1] * 5


def test_an_image_mended_after_a_refusal_costs_its_own_shard_alone(folder, monkeypatch):
  good = (folder / 'images' / '5.bmp').read_bytes()
  (folder / 'images' / '5.bmp').write_bytes(good[:-9])
  with pytest.raises(ValueError, match='1 images of .*train.json are missing below .* or broken'):
    open_split(folder)
  (folder / 'images' / '5.bmp').write_bytes(good)
  made = []
  serialize = examples.serialize
  monkeypatch.setattr(examples, 'serialize', lambda example: made.append(example.image_id) or serialize(example))
  assert colours(open_split(folder)) == [1, 2, 3, 4, 5] and made == [5]


def test_without_links_shards_are_made_again(folder, monkeypatch):
  def cannot(source, target):
    raise OSError(1, 'Operation not permitted')

  open_split(folder)
  draw(folder, 5, 77)
  monkeypatch.setattr(os, 'link', cannot)
  assert colours(open_split(folder)) == [1, 2, 3, 4, 77]


@pytest.mark.parametrize('name', ['train.index.npz', 'train.array_record-00001-of-00003'])
def test_a_damaged_file_of_records_is_made_again(folder, caplog, name):
  before = open_split(folder)
  path = pathlib.Path(before.folder) / f'detection-{name}'
  whole = path.read_bytes()
  path.write_bytes(whole[:-30])
  with caplog.at_level(logging.INFO, logger='absl'):
    assert colours(open_split(folder)) == [1, 2, 3, 4, 5]
  assert f"the records of split 'train' are damaged: {path}" in caplog.text
  assert path.stat().st_size == len(whole)


def test_a_damaged_shard_is_not_linked(folder):
  before = open_split(folder)
  path = records.shard_paths(before.folder, 'train', 5)[0]
  os.truncate(path, os.path.getsize(path) - 30)
  draw(folder, 5, 77)
  assert colours(open_split(folder)) == [1, 2, 3, 4, 77]


@pytest.mark.parametrize('content', ['', '{"version"', '[]', '{"version": 1}'])
def test_a_damaged_note_on_annotations_is_written_again(folder, content):
  before = open_split(folder)
  (note,) = (folder / 'records').glob('annotations-*.json')
  whole = note.read_text()
  note.write_text(content)
  assert open_split(folder).folder == before.folder and note.read_text() == whole


def test_a_damaged_manifest_is_an_error_that_says_what_to_do(folder):
  manifest = records.manifest_path(open_split(folder).folder, 'train')
  os.truncate(manifest, 9)
  with pytest.raises(ValueError, match=rf'{manifest} is damaged \(.*\): delete this folder of records'):
    open_split(folder)


def test_an_image_that_changes_while_records_are_made_is_a_problem(folder, monkeypatch):
  read = columns.read

  def replace(path):
    (folder / 'images' / '2.bmp').write_bytes((folder / 'images' / '1.bmp').read_bytes())
    return read(path)

  annotation = str(folder / 'train.json')
  annotation_identity.identify(annotation, str(folder / 'records'))
  monkeypatch.setattr(columns, 'read', replace)
  with pytest.raises(ValueError, match=r'images/2\.bmp: has changed while records were made: start again'):
    open_split(folder)


def test_annotations_that_change_while_they_are_read_are_an_error(folder, monkeypatch):
  read = columns.read

  def change(path):
    annotate(folder, 'train.json', x=2)
    return read(path)

  monkeypatch.setattr(columns, 'read', change)
  with pytest.raises(ValueError, match=r'train\.json has changed while it was read: start again'):
    open_split(folder)


def test_a_file_that_may_not_be_read_is_a_problem_of_this_file(folder, monkeypatch):
  real = open

  def closed(path, *args, **kw):
    if str(path).endswith('2.bmp'):
      raise PermissionError(13, 'Permission denied')
    return real(path, *args, **kw)

  monkeypatch.setattr('builtins.open', closed)
  with pytest.raises(ValueError, match=r'images/2\.bmp: cannot be read: Permission denied'):
    open_split(folder)


def test_a_folder_that_cannot_be_written_to(folder, tmp_path, monkeypatch, caplog):
  create = lock._create

  def closed(path, owner):
    if path.startswith(str(folder)):
      raise lock.CannotWrite(30, 'Read-only file system', os.path.dirname(path))
    return create(path, owner)

  monkeypatch.setattr(lock, '_create', closed)
  with caplog.at_level(logging.INFO, logger='absl'):
    opened = open_split(folder, workdir=str(tmp_path / 'run'))
  assert opened.folder.startswith(str(tmp_path / 'run' / 'records' / 'train-'))
  assert f'Cannot write records into {folder}/records (Read-only file system): they go to {tmp_path}/run' in caplog.text


def test_complete_records_in_a_folder_that_cannot_be_written_to_are_used(folder, tmp_path, monkeypatch):
  before = open_split(folder)

  def closed(path, owner):
    raise lock.CannotWrite(30, 'Read-only file system', path)

  monkeypatch.setattr(lock, '_create', closed)
  assert open_split(folder, workdir=str(tmp_path)).folder == before.folder


PROGRAM = """
import logging, sys
from absl import logging as absl_logging
absl_logging.set_verbosity(absl_logging.INFO)
sys.path.insert(0, {tests!r})
import test_splits
from input_pipeline import records
records.IMAGES_PER_SHARD = 2
opened = test_splits.open_split({folder!r})
print(opened.folder, test_splits.colours(opened), test_splits.written(opened))
"""


def test_processes_that_start_at_once_make_the_records_once_and_open_the_same(folder):
  program = PROGRAM.format(tests=os.path.dirname(__file__), folder=str(folder))
  processes = [
    subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(3)
  ]
  said = [process.communicate(timeout=120) for process in processes]
  assert [process.returncode for process in processes] == [0, 0, 0], said[0][1]
  answers = {out for out, _ in said}
  assert len(answers) == 1 and '[1, 2, 3, 4, 5]' in answers.pop()
  assert sum(err.count('Making records') for _, err in said) == 1
  here = list((folder / 'records').glob('train-*/*'))
  assert not [path for path in here if path.suffix in ('.lock', '.partial')]


SLOW = """
from input_pipeline import examples
import time
serialize = examples.serialize
def stop(example):
  print(example.image_id, flush=True)
  time.sleep(60 * (example.image_id == 4))
  return serialize(example)
examples.serialize = stop
"""


def test_a_killed_process_leaves_its_finished_shards_and_no_lock_that_stops_others(folder, caplog):
  program = PROGRAM.format(tests=os.path.dirname(__file__), folder=str(folder)).replace('opened', f'{SLOW}\nopened', 1)
  with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True) as process:
    while process.stdout.readline() != '4\n':
      assert process.poll() is None
    process.kill()
  (own,) = (folder / 'records').glob('train-*')
  first = own / 'detection-train.array_record-00000-of-00003'
  before = first.stat().st_ino
  assert (own / 'train.lock').exists() and list(own.glob('*.partial'))
  with caplog.at_level(logging.INFO, logger='absl'):
    opened = open_split(folder)
  assert colours(opened) == [1, 2, 3, 4, 5] and opened.folder == str(own) and first.stat().st_ino == before
  assert any(message.startswith('Going on with making records') for message in caplog.messages)
  assert not (own / 'train.lock').exists() and not list(own.glob('*.partial'))


def test_who_has_waited_for_a_failure_fails_alike(folder, monkeypatch):
  """The second process does not decode all images again to find what the first has found."""
  (folder / 'images' / '5.bmp').write_bytes(b'')
  with pytest.raises(ValueError) as first:
    open_split(folder)
  problems = next((folder / 'records').glob('train-*/train-problems.txt'))
  create = lock._create

  def waited(path, owner):
    if path.endswith('train.lock'):
      os.utime(problems, ns=(1, 1))  # written by the process that was waited for
    return create(path, owner)

  monkeypatch.setattr(lock, '_create', waited)
  monkeypatch.setattr(columns, 'read', None)
  with pytest.raises(ValueError) as second:
    open_split(folder)
  assert str(second.value) == str(first.value)
