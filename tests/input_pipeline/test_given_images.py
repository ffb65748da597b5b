"""Images that a user gives to `predict`: files, folders, and lists of them."""

import codecs
import logging
import os

import pytest

from input_pipeline.given_images import list_images, open_file


@pytest.fixture
def files(tmp_path):
  """A function that makes empty files below the folder `in` of a test; returns their paths."""

  def make(*names):
    paths = [tmp_path / 'in' / name for name in names]
    for path in paths:
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
    return [str(path) for path in paths]

  return make


@pytest.fixture
def listed(tmp_path):
  """Paths that are listed for the given ones."""
  return lambda *paths: [image.path for image in list_images([str(path) for path in paths], str(tmp_path / 'out'))]


def test_files_folders_and_lists(tmp_path, files, listed):
  below, first, second, third = files('f/below/c.jpg', 'f/a.PNG', 'f/b.jpg', 'd.webp')
  files('f/notes.md')
  (tmp_path / 'in' / 'list.txt').write_text('d.webp\n\nf/below\n')
  assert listed(tmp_path / 'in' / 'f') == [first, second, below]
  assert listed(tmp_path / 'in' / 'list.txt', second) == [third, below, second]


def test_an_image_that_is_given_several_times_is_used_once(tmp_path, files, listed, caplog):
  first, second = files('1.jpg', '2.jpg')
  (tmp_path / 'list.txt').write_text('in/2.jpg\nin/./2.jpg\n')
  with caplog.at_level(logging.INFO, logger='absl'):
    found = list_images([str(tmp_path / 'in'), first, str(tmp_path / 'list.txt')], 'out')
  assert [tuple(image) for image in found] == [(first, True), (second, True)]  # both are named too
  assert '3 images are given twice' in caplog.text


def test_files_of_one_base_name_are_different_images(tmp_path, files, listed):
  names = files('a/1.jpg', 'b/1.jpg', '1.jpg', '1.png')
  assert sorted(listed(tmp_path / 'in')) == sorted(names)


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize(
  'mark, encoding', [(b'', 'utf-8'), (codecs.BOM_UTF8, 'utf-8'), (codecs.BOM_UTF16_LE, 'utf-16-le')]
)
def test_lists_may_come_from_windows(tmp_path, files, listed, end, mark, encoding):
  names = files('größe 猫.jpg', '2.jpg')
  lines = ['größe 猫.jpg', '2.jpg  ', '', '# the rest is broken']
  (tmp_path / 'in' / 'list.TXT').write_bytes(mark + end.join(lines).encode(encoding))
  assert listed(tmp_path / 'in' / 'list.TXT') == names


def test_a_line_with_a_number_sign_is_a_path_if_there_is_such_a_file(tmp_path, files, listed):
  (path,) = files('#1.jpg')
  (tmp_path / 'in' / 'list.txt').write_text('# first\n#1.jpg\n')
  assert listed(tmp_path / 'in' / 'list.txt') == [path]


def test_names_need_not_be_utf8(tmp_path, files, listed):
  (tmp_path / 'in').mkdir()
  name = os.fsencode(tmp_path / 'in') + b'/caf\xe9.jpg'
  open(name, 'wb').close()
  (tmp_path / 'in' / 'list.txt').write_bytes(b'caf\xe9.jpg\n')
  assert listed(tmp_path / 'in') == listed(tmp_path / 'in' / 'list.txt') == [os.fsdecode(name)]


def test_a_list_that_is_no_text_is_refused_with_the_line(tmp_path, listed):
  (tmp_path / 'list.txt').write_bytes('1.jpg\n2.jpg\n'.encode('utf-16-le'))  # without a byte order mark
  with pytest.raises(ValueError, match=r'line 1 of .*list\.txt is no path'):
    listed(tmp_path / 'list.txt')


def test_what_is_left_out_of_a_folder_is_counted(tmp_path, files, listed, caplog):
  (good,) = files('good.jpg')
  files('._good.jpg', '.DS_Store', '.thumbnails/1.jpg', 'notes.txt', 'raw.heic', 'raw2.HEIC', 'README')
  os.symlink(tmp_path / 'in', tmp_path / 'in' / 'again')
  with caplog.at_level(logging.INFO, logger='absl'):
    assert listed(tmp_path / 'in') == [good]
  assert '1 images; left out: 2 .heic, 1 .txt, 3 hidden, 1 links to folders, 1 without an ending' in caplog.text


def test_earlier_results_are_not_predicted_again(tmp_path, files):
  (good,) = files('good.jpg')
  (old,) = files('out/good_detections.jpg')
  folder, output = str(tmp_path / 'in'), os.path.dirname(old)
  assert [image.path for image in list_images([folder], output)] == [good]
  with pytest.raises(ValueError, match='choose another folder with --output'):
    list_images([folder], folder)


def test_what_gives_no_images_is_refused_by_name(tmp_path, files, listed):
  (good,) = files('good.jpg')
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty.txt').write_text('\n# nothing\n')
  for path in ('empty', 'empty.txt'):
    with pytest.raises(FileNotFoundError, match=rf'no images in .*{path}$'):
      listed(good, tmp_path / path)
  with pytest.raises(FileNotFoundError, match=r'2 images do not exist, the first: .*gone\.jpg'):
    listed(tmp_path / 'gone.jpg', tmp_path / 'gone.png')


def test_one_missing_file_among_others_is_left_for_the_reading_to_name(tmp_path, files, listed):
  (good,) = files('good.jpg')
  assert listed(tmp_path / 'gone.jpg', good) == [str(tmp_path / 'gone.jpg'), good]


def test_only_files_that_end_are_opened(tmp_path):
  os.mkfifo(tmp_path / 'pipe.jpg')  # opening it would wait for ever
  os.symlink(tmp_path / 'nothing.png', tmp_path / 'dead.jpg')
  reasons = {
    'pipe.jpg': 'is a device or a pipe',
    'dead.jpg': r'is a link to .*nothing\.png, which does not exist',
    'gone.jpg': 'does not exist',
    '.': 'is a folder',
  }
  for name, reason in reasons.items():
    with pytest.raises((OSError, ValueError), match=reason):
      open_file(str(tmp_path / name))
