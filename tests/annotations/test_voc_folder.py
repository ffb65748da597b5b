"""PASCAL VOC's folders as the lists of an annotation file: by hand, and what is wrong with a file."""

import pytest

import voc_case
from jaxdet.annotations import voc_folder
from jaxdet.annotations.problems import Problems

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
    ('<ymin>5</ymin>', '', "000007.xml: 'bndbox/ymin' of 'object' is None"),
    ('<difficult>1<', '<difficult>nan<', "000007.xml: 'difficult' of 'object' is 'nan'"),
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
  with pytest.raises(ValueError, match="000005.xml: 'size/height' of 'annotation' is None"):
    read(folder, 'images')


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
