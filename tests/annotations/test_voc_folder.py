"""PASCAL VOC's folders as the lists of an annotation file: by hand, and what is wrong with a file."""

import gzip

import pytest

import voc_case
from jaxdet.annotations import columns, voc_folder
from jaxdet.annotations.problems import Problems
from jaxdet.evaluation.ground_truth import load_ground_truth

TRAINVAL_2007 = {
  '000007': ((20, 30), [('dog', (1, 1, 30, 20), 0), ('person', (3, 5, 12, 9), 1)]),
  '000005': ((24, 16), []),
}
TRAINVAL_2012 = {'2008_000015': ((10, 12), [('bottle', (2.5, 3, 10, 8.25), 0)])}
JOINED = 'VOC2007/trainval+VOC2012/trainval'


@pytest.fixture
def folder(tmp_path):
  voc_case.write_split(tmp_path, 'VOC2007', 'trainval', TRAINVAL_2007)
  voc_case.write_split(tmp_path, 'VOC2012', 'trainval', TRAINVAL_2012)
  return tmp_path


def read(folder, name, split=JOINED):
  """The entries of a list; where files have problems, the error that tells them."""
  problems = Problems(f'{folder}/{split}')
  found = list(voc_folder.entries(f'{folder}/{split}', ('categories', 'images', 'annotations'), problems))
  problems.raise_if_any()
  return [entry for of_list, entry in found if of_list == name]


@pytest.mark.parametrize(
  ('path', 'expected'),
  [
    ('data/a+b/VOC2007/test', True),
    ('VOC2007/trainval+VOC2012/trainval', True),
    ('data/VOC2007/test.json', False),
    ('data/VOC2007', False),
    ('data/VOC2007/trainval+trainval', False),
    ('annotations/instances_val2017.json', False),
  ],
)
def test_what_a_split_of_voc_is(path, expected):
  assert voc_folder.is_split(path) == expected


def test_twenty_categories_in_alphabetical_order():
  categories = [entry for _, entry in voc_folder.entries('VOC2007/test', ('categories',), Problems(''))]
  assert [category['id'] for category in categories] == list(range(1, 21))
  names = [category['name'] for category in categories]
  assert names == sorted(names) and (names[0], names[14]) == ('aeroplane', 'person')


def test_images_of_both_years_in_the_order_of_the_lists(folder):
  assert read(folder, 'images') == [
    {'id': 7, 'file_name': 'VOC2007/JPEGImages/000007.jpg', 'height': 20, 'width': 30},
    {'id': 5, 'file_name': 'VOC2007/JPEGImages/000005.jpg', 'height': 24, 'width': 16},
    {'id': 2008000015, 'file_name': 'VOC2012/JPEGImages/2008_000015.jpg', 'height': 10, 'width': 12},
  ]


def test_an_object_that_covers_the_image_has_the_images_edges_and_parts_are_no_objects(folder):
  dog, person, bottle = read(folder, 'annotations')
  assert dog == {'id': 1, 'image_id': 7, 'category_id': 12, 'bbox': [0, 0, 30, 20], 'area': 600, 'ignore': 0}
  assert (person['bbox'], person['ignore']) == ([2, 4, 10, 5], 1)
  assert (bottle['image_id'], bottle['bbox'], bottle['category_id']) == (2008000015, [1.5, 2, 8.5, 6.25], 5)


def test_an_object_that_does_not_say_is_not_difficult(folder):
  xml = folder / 'VOC2007' / 'Annotations' / '000007.xml'
  xml.write_text(xml.read_text().replace('<difficult>1</difficult>', ''))
  assert [entry['ignore'] for entry in read(folder, 'annotations')] == [0, 0, 0]


def test_all_files_that_are_read(folder):
  names = [path.removeprefix(f'{folder}/') for path in voc_folder.files(f'{folder}/{JOINED}')]
  assert names == [
    'VOC2007/ImageSets/Main/trainval.txt',
    'VOC2012/ImageSets/Main/trainval.txt',
    'VOC2007/Annotations/000007.xml',
    'VOC2007/Annotations/000005.xml',
    'VOC2012/Annotations/2008_000015.xml',
  ]


@pytest.mark.parametrize(
  ('old', 'new', 'message'),
  [
    ('</annotation>', '', "000007.xml: it is not VOC's XML .*no element found"),
    ('<annotation>', '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', '000007.xml: .*it declares a document type'),
    ('<annotation>', '<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation>', '000007.xml: .*document type'),
    ('<name>dog<', '<name>wolf<', "000007.xml: 'wolf' is none of VOC's 20 categories"),
    ('<xmax>30<', '<xmax>thirty<', "000007.xml: 'bndbox/xmax' of 'object' is 'thirty', not a number"),
    ('<ymin>5</ymin>', '', "000007.xml: 'object' has no 'bndbox/ymin'"),
    ('<difficult>1<', '<difficult>nan<', "000007.xml: 'difficult' of 'object' is 'nan'"),
    ('<difficult>1<', '<difficult>2<', "000007.xml: 'difficult' of 'object' is 2: expected 0 or 1"),
    ('<xmax>30<', '<xmax>inf<', "000007.xml: 'bndbox/xmax' of 'object' is 'inf', not a number"),
    (
      '<height>20<',
      '<height>0<',
      "000007.xml: 'size/height' of 'annotation' is 0: expected a positive integer, in pix",
    ),
    ('<height>20<', '<height>20.5<', "000007.xml: 'size/height' of 'annotation' is 20.5: expected a positive integer"),
    ('<annotation>', '<?xml version="1.0" encoding="none"?><annotation>', '000007.xml: .*unknown encoding'),
    ('<annotation>', '<annotation>' + '<a>' * 10**5, "000007.xml: it is not VOC's XML"),
  ],
)
def test_a_broken_file_is_named(folder, old, new, message):
  xml = folder / 'VOC2007' / 'Annotations' / '000007.xml'
  assert old in xml.read_text()
  xml.write_text(xml.read_text().replace(old, new))
  with pytest.raises(ValueError, match=message):
    read(folder, 'annotations')


def test_an_image_without_a_size_is_named(folder):
  xml = folder / 'VOC2007' / 'Annotations' / '000005.xml'
  xml.write_text(xml.read_text().replace('height', 'depth'))
  with pytest.raises(ValueError, match="000005.xml: 'annotation' has no 'size/height'"):
    read(folder, 'images')


def test_the_problems_of_all_files_are_told_at_once(folder):
  for name, old, new in (
    ('000007', '<name>dog<', '<name>wolf<'),
    ('000007', '>5<', '>x<'),
    ('000005', 'height', 'depth'),
  ):
    xml = folder / 'VOC2007' / 'Annotations' / f'{name}.xml'
    xml.write_text(xml.read_text().replace(old, new))
  (folder / 'VOC2012' / 'Annotations' / '2008_000015.xml').unlink()
  messages = []
  for reader in (columns.read, load_ground_truth):
    with pytest.raises(ValueError, match='has 4 problems') as error:
      reader(f'{folder}/{JOINED}')
    messages.append(str(error.value))
  assert messages[0] == messages[1] and len(messages[0].splitlines()) == 5


@pytest.mark.parametrize('corners', [(30, 10, 10, 20), (10, 20, 30, 10), (30, 20, 10, 10)])
def test_a_box_with_exchanged_corners_is_dropped_in_training_and_found_by_nobody_in_evaluation(tmp_path, corners):
  path = voc_case.write_split(tmp_path, 'VOC2007', 'test', {'000001': ((20, 30), [('dog', corners, 0)])})
  split, truth = columns.read(path), load_ground_truth(path)
  assert split.counts['objects'] == 0 and split.counts['dropped_boxes_without_area'] == 1
  assert truth.areas.tolist() == [0] and (truth.boxes[0, 2:] <= 0).any()


@pytest.mark.parametrize(
  'lines', [b'\xef\xbb\xbf000005\n000007\n', b'000005\r\n000007\r\n\r\n', gzip.compress(b'000005\n000007')]
)
def test_lists_are_read_with_a_byte_order_mark_and_other_line_ends(folder, lines):
  (folder / 'VOC2007' / 'ImageSets' / 'Main' / 'trainval.txt').write_bytes(lines)
  assert [entry['id'] for entry in read(folder, 'images', 'VOC2007/trainval')] == [5, 7]


@pytest.mark.parametrize(
  ('lines', 'message'),
  [
    ('000005 -1\n', "trainval.txt: '000005 -1' is no image of VOC"),
    ('dog_7\n', "trainval.txt: 'dog_7' is no image"),
    ('000005\n000007\n000005\n', 'trainval.txt: image 000005 is listed twice'),
  ],
)
def test_a_broken_list_is_named(folder, lines, message):
  (folder / 'VOC2007' / 'ImageSets' / 'Main' / 'trainval.txt').write_text(lines)
  with pytest.raises(ValueError, match=message):
    read(folder, 'images')


def test_an_image_of_both_years_is_an_error(folder):
  (folder / 'VOC2012' / 'ImageSets' / 'Main' / 'trainval.txt').write_text('000007\n')
  with pytest.raises(ValueError, match='VOC2012.*image 000007 is listed twice in .*trainval.VOC2012/trainval'):
    read(folder, 'images')


def test_missing_files_are_named(folder):
  with pytest.raises(FileNotFoundError, match='no list of images .*VOC2007/ImageSets/Main/test.txt'):
    read(folder, 'images', 'VOC2007/test')
  (folder / 'VOC2012' / 'Annotations' / '2008_000015.xml').unlink()
  with pytest.raises(ValueError, match='2008_000015.xml: there is no such file'):
    read(folder, 'images')
