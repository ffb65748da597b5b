"""COCO's panoptic format: what is written is read again, mistakes are named, and maps for training are made of it."""

import gzip
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from jaxdet.annotations import panoptic
from jaxdet.annotations.panoptic import PanopticCategory, PanopticSegment

CATEGORIES = (
  PanopticCategory(1, 'person', True),
  PanopticCategory(92, 'banner', False),
  PanopticCategory(200, 'rug', False),
)
IDS = np.array([[0, 5, 5], [70_000, 70_000, 16_777_215]], np.int32)


def entry(**changes):
  segments = [
    {'id': 5, 'category_id': 1, 'area': 2, 'iscrowd': 1},
    {'id': 70_000, 'category_id': 200, 'area': 2, 'iscrowd': 0},
    {'id': 16_777_215, 'category_id': 92, 'area': 1, 'iscrowd': 0},
  ]
  return {'image_id': 7, 'file_name': '7.png', 'segments_info': segments} | changes


@pytest.fixture
def write(tmp_path):
  def write(*annotations, categories=None):
    path = tmp_path / 'panoptic_val.json'
    table = [{'id': c.id, 'name': c.name, 'isthing': int(c.is_thing)} for c in CATEGORIES]
    content = {'categories': table if categories is None else categories, 'annotations': annotations}
    path.write_text(json.dumps(content))
    path.with_suffix('').mkdir(exist_ok=True)
    panoptic.write_ids(str(path.with_suffix('') / '7.png'), IDS)
    return str(path)

  return write


def test_a_split_is_read_with_its_maps_beside_it(write):
  split = panoptic.read(write(entry()))
  assert split.categories == CATEGORIES
  assert split.of(7).segments[0] == PanopticSegment(5, 1, is_crowd=True, area=2)
  np.testing.assert_array_equal(split.ids(7), IDS)


def test_a_colour_is_an_id_in_base_256(tmp_path):
  Image.fromarray(np.array([[[3, 2, 1]]], np.uint8)).save(tmp_path / 'x.png')
  assert panoptic.read_ids(str(tmp_path / 'x.png')) == [[3 + 2 * 256 + 65536]]


def test_results_are_read_as_annotations_without_areas(write, tmp_path):
  write(entry())
  segments = [{'id': 5, 'category_id': 1, 'score': 0.5}]
  path = str(tmp_path / 'results.json')
  panoptic.write_results(path, CATEGORIES, [{'image_id': 7, 'file_name': '7.png', 'segments_info': segments}])
  results = panoptic.read(path, str(tmp_path / 'panoptic_val'))
  assert results.categories == CATEGORIES and results.of(7).segments == (PanopticSegment(5, 1),)


@pytest.mark.parametrize(
  'annotations, message',
  [
    ([{'image_id': 7, 'file_name': '7.png'}], "annotation of image 7 has no 'segments_info'"),
    ([{'file_name': '7.png', 'segments_info': []}], "annotation of image at position 0 has no 'image_id'"),
    ([entry(), entry()], 'image 7 has two annotations'),
    ([entry(segments_info=[{'id': 5}])], "annotation of image 7: segment 5 has no 'category_id'"),
    ([entry(segments_info=[{'id': 5, 'category_id': 4}])], 'segment 5 has category 4, which is not in the table'),
    ([entry(segments_info=[{'id': 5, 'category_id': 1}] * 2)], 'annotation of image 7 has segment 5 twice'),
    ([entry(segments_info=[{'id': 0, 'category_id': 1}])], 'segment 0 has no colour: ids are from 1 to 16777215'),
    ([entry(segments_info=[{'id': 1.5, 'category_id': 1}])], 'segment 1.5 has id 1.5: expected an integer'),
    ([entry(segments_info=[{'id': 5, 'category_id': 1, 'iscrowd': 2}])], 'segment 5 has iscrowd 2: expected 0 or 1'),
    ([entry(segments_info=[7])], 'segment at position 0 is 7: expected an object {..}'),
    ([entry(segments_info={})], 'annotation of image 7 has segments_info {}: expected a list of segments'),
    ([entry(image_id=None)], 'annotation of image at position 0 has image_id null: expected an integer'),
    ([entry(file_name='../7.png')], "has file_name '../7.png': expected a name below the folder of PNGs"),
    ([entry(file_name='/7.png')], "has file_name '/7.png': expected a name below the folder of PNGs"),
  ],
)
def test_a_mistake_is_named_with_its_file_and_entry(write, annotations, message):
  path = write(*annotations)
  with pytest.raises(ValueError, match=re.escape(message)) as error:
    panoptic.read(path)
  assert str(error.value).startswith(path) and '\n' not in str(error.value)


def test_ids_as_text_and_files_packed_with_gzip_are_read(write):
  segments = [{'id': '5', 'category_id': '1', 'area': 2, 'iscrowd': True}]
  path = pathlib.Path(write(entry(image_id='7', segments_info=segments)))
  packed = path.with_suffix('.json.gz')
  packed.write_bytes(gzip.compress(path.read_bytes()))
  for file in (path, packed):
    assert panoptic.read(str(file)).of(7).segments == (PanopticSegment(5, 1, is_crowd=True, area=2),)


def test_all_problems_are_told_at_once(write):
  path = write(entry(file_name=''), entry(image_id=8, segments_info=[{'id': 0, 'category_id': 4}]))
  with pytest.raises(ValueError, match='has 3 problems'):
    panoptic.read(path)


def test_categories_that_do_not_fit_are_named(write):
  with pytest.raises(ValueError, match='category 1 has isthing 2: expected 0 or 1'):
    panoptic.read(write(entry(), categories=[{'id': 1, 'name': 'person', 'isthing': 2}]))
  with pytest.raises(ValueError, match='has no categories: is it a panoptic annotation file'):
    panoptic.read(write(entry(), categories=[]))
  with pytest.raises(ValueError, match="category 1 has no 'isthing'"):
    panoptic.read(write(entry(), categories=[{'id': 1, 'name': 'person'}]))


def test_files_that_are_not_there_or_are_no_maps_are_named(write, tmp_path):
  with pytest.raises(FileNotFoundError, match='no panoptic annotations .*nothing.json'):
    panoptic.read(str(tmp_path / 'nothing.json'))
  split = panoptic.read(write(entry(), entry(image_id=8, file_name='8.png')))
  with pytest.raises(FileNotFoundError, match=r'no PNG of segments .*8\.png'):
    split.ids(8)
  with pytest.raises(ValueError, match='has no annotation of image 9'):
    split.ids(9)
  Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / 'panoptic_val' / '8.png')
  with pytest.raises(ValueError, match=r'8\.png has L pixels, where the ids of segments are RGB colours'):
    split.ids(8)
  (tmp_path / 'panoptic_val' / '8.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match=r'8\.png is no complete PNG'):
    split.ids(8)


def test_a_semantic_map_has_all_things_in_one_class_and_stuff_in_the_order_of_ids(write):
  split = panoptic.read(write(entry()))
  classes = panoptic.semantic_map(split.ids(7), split.of(7).segments, split.categories)
  assert classes.dtype == np.uint8
  np.testing.assert_array_equal(classes, [[255, 0, 0], [2, 2, 1]])


def test_pixels_of_an_id_without_segment_do_not_count():
  classes = panoptic.semantic_map(IDS, [PanopticSegment(5, 92)], CATEGORIES)
  np.testing.assert_array_equal(classes, [[255, 1, 1], [255, 255, 255]])


def test_ids_that_are_no_colours_are_not_written(tmp_path):
  with pytest.raises(ValueError, match='ids of segments are from 0 to 16777215, not from 0 to 16777216'):
    panoptic.write_ids(str(tmp_path / 'x.png'), np.array([[0, 2**24]]))


def test_a_png_that_is_too_large_is_named(monkeypatch, tmp_path):
  path = tmp_path / 'huge.png'
  Image.new('RGB', (7, 3)).save(path)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
  with pytest.raises(ValueError, match=r'huge\.png is no complete PNG \(Image size \(21 pixels\) exceeds limit'):
    panoptic.read_ids(str(path))
