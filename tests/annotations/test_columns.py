"""Annotation files: what is read, what is dropped and counted, what is an error."""

import gzip
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import annotation_files
from jaxdet.annotations import columns
from jaxdet.annotations.files import find
from jaxdet.structures import Category
from parity_kit import photos


def read(tmp_path, content):
  return columns.read(annotation_files.write(tmp_path, content))


def test_categories_are_sorted_by_id_and_labels_are_positions(tmp_path):
  found = read(tmp_path, annotation_files.lvis())
  assert found.categories == (Category(2, 'ant', 'r', 3), Category(4, 'cow', 'c', 12), Category(9, 'zebra', 'f', 500))
  np.testing.assert_array_equal(found.labels, [1, 2, 0])


def test_images_keep_the_files_order_and_those_without_objects(tmp_path):
  found = read(tmp_path, annotation_files.lvis())
  np.testing.assert_array_equal(found.image_ids, [70, 50, 60])
  np.testing.assert_array_equal(found.image_sizes, [[20, 30], [40, 25], [10, 10]])
  np.testing.assert_array_equal(found.objects_in_image.lengths, [1, 2, 0])
  assert found.counts['images_without_objects'] == 1
  assert len(found.objects(2).labels) == 0 and found.objects(2).boxes.shape == (0, 4)


def test_objects_have_boxes_by_corners_and_all_their_polygons(tmp_path):
  objects = read(tmp_path, annotation_files.lvis()).objects(1)
  np.testing.assert_array_equal(objects.labels, [1, 0])
  np.testing.assert_array_equal(objects.boxes, [[1, 2, 11, 22.5], [3, 3, 5, 5]])
  np.testing.assert_array_equal(objects.areas, [150.25, 2])
  np.testing.assert_array_equal(objects.polygons_per_object, [2, 1])
  np.testing.assert_array_equal(objects.polygon_lengths, [6, 8, 6])
  first, second = objects.polygons()
  np.testing.assert_array_equal(first[1], [[1, 2], [5, 8], [1, 8.5], [1, 4]])
  np.testing.assert_array_equal(second[0], [[3, 3], [5, 3], [5, 5]])
  assert objects.rle == [b'', b'']
  assert objects.boxes.dtype == np.float32 and objects.polygon_points.dtype == np.float32


def test_federated_lists_are_labels(tmp_path):
  found = read(tmp_path, annotation_files.lvis())
  assert [row.tolist() for row in map(found.neg_labels.__getitem__, range(3))] == [[2], [], [0, 1, 2]]
  np.testing.assert_array_equal(found.not_exhaustive_labels[1], [1, 0])


def test_file_names_come_from_coco_url_where_lvis_v1_has_no_other(tmp_path):
  content = annotation_files.lvis()
  content['images'][1]['file_name'] = 'COCO_val2014_000000000050.jpg'
  found = read(tmp_path, content)
  assert found.file_names[:2] == ('val2017/000000000070.jpg', 'COCO_val2014_000000000050.jpg')


def test_crowds_are_kept_and_marked_with_their_rle(tmp_path):
  content = annotation_files.lvis()
  counts = [3, 5, 592]  # column by column: 3 pixels outside, 5 inside, the rest outside
  crowd = {'image_id': 70, 'category_id': 2, 'bbox': [0, 3, 1, 5], 'area': 5, 'iscrowd': 1}
  content['annotations'].append({'id': 4, **crowd, 'segmentation': {'size': [20, 30], 'counts': counts}})
  packed = coco_mask.frPyObjects({'size': [20, 30], 'counts': counts}, 20, 30)['counts'].decode()
  content['annotations'].append({'id': 5, **crowd, 'segmentation': {'size': [20, 30], 'counts': packed}})
  found = read(tmp_path, content)
  objects = found.objects(0)
  np.testing.assert_array_equal(objects.crowds, [0, 1, 1])
  assert found.counts['crowds'] == 2
  assert objects.rle[0] == b'' and objects.rle[1] == objects.rle[2] == packed.encode()
  mask = coco_mask.decode({'size': [20, 30], 'counts': objects.rle[1]})
  assert mask.sum() == 5 and mask[3:8, 0].all()


def test_an_rle_of_another_size_than_its_image_is_an_error(tmp_path):
  content = annotation_files.lvis()
  content['annotations'][0]['segmentation'] = {'size': [25, 40], 'counts': [1000]}
  with pytest.raises(
    ValueError, match=r'annotation 1 has a mask of size \[25, 40\]: expected the size of its image, \[40, 25\]'
  ):
    read(tmp_path, content)


@pytest.mark.parametrize('segmentation', [[], None])
def test_objects_without_a_mask_keep_their_box_and_are_counted(tmp_path, segmentation):
  content = annotation_files.lvis()
  content['annotations'][0]['segmentation'] = segmentation
  found = read(tmp_path, content)
  assert found.counts['objects_without_mask'] == 1 and found.counts['objects'] == 3
  objects = found.objects(1)
  np.testing.assert_array_equal(objects.polygons_per_object, [0, 1])
  assert [len(p) for p in objects.polygons()] == [0, 1] and objects.rle == [b'', b'']


@pytest.mark.parametrize('box', [[1, 2, 0, 5], [1, 2, 5, 0], [1, 2, -3, 5]])
def test_boxes_without_area_are_dropped_and_counted(tmp_path, box):
  content = annotation_files.lvis()
  content['annotations'][0]['bbox'] = box
  found = read(tmp_path, content)
  assert found.counts['dropped_boxes_without_area'] == 1 and found.counts['objects'] == 2
  np.testing.assert_array_equal(found.objects(1).labels, [0])


def test_polygons_under_three_points_are_dropped_and_counted(tmp_path):
  content = annotation_files.lvis()
  content['annotations'][0]['segmentation'][0] = [1, 2, 11, 2]
  content['annotations'][2]['segmentation'] = [[3, 3, 5, 3, 5]]
  found = read(tmp_path, content)
  assert found.counts['dropped_polygons_under_three_points'] == 2
  assert found.counts['dropped_objects_without_valid_polygon'] == 1
  objects = found.objects(1)
  np.testing.assert_array_equal(objects.labels, [1])
  np.testing.assert_array_equal(objects.polygon_lengths, [8])


def test_a_category_outside_the_table_is_an_error_with_both_ids(tmp_path):
  content = annotation_files.lvis()
  content['annotations'][1]['category_id'] = 77
  with pytest.raises(ValueError, match=r'train\.json: annotation 2 has category 77, which is not in the table'):
    read(tmp_path, content)
  content = annotation_files.lvis()
  content['images'][2]['neg_category_ids'] = [2, 78]
  with pytest.raises(ValueError, match='image 60 has category 78 in neg_category_ids, which is not in the table'):
    read(tmp_path, content)


def test_an_annotation_of_an_unknown_image_is_an_error_with_both_ids(tmp_path):
  content = annotation_files.lvis()
  content['annotations'][2]['image_id'] = 51
  with pytest.raises(ValueError, match='annotation 3 is of image 51, which is not in the file'):
    read(tmp_path, content)


@pytest.mark.parametrize(('key', 'id', 'kind'), [('images', 70, 'image'), ('categories', 9, 'category')])
def test_ids_used_twice_are_an_error(tmp_path, key, id, kind):
  content = annotation_files.lvis()
  content[key][1]['id'] = id
  with pytest.raises(ValueError, match=f'{kind} id {id} is defined twice'):
    read(tmp_path, content)


@pytest.mark.parametrize('key', ['bbox', 'area', 'category_id', 'image_id'])
def test_a_missing_key_is_an_error_that_names_it(tmp_path, key):
  content = annotation_files.lvis()
  del content['annotations'][1][key]
  with pytest.raises(ValueError, match=f"annotation 2 has no '{key}'"):
    read(tmp_path, content)


@pytest.mark.parametrize('key', ['images', 'categories'])
def test_another_kind_of_json_is_an_error(tmp_path, key):
  content = annotation_files.lvis()
  del content[key]
  with pytest.raises(ValueError, match=f'train.json has no {key}: is it an annotation file'):
    read(tmp_path, content)


def test_a_file_that_was_cut_off_is_an_error_with_its_size(tmp_path):
  text = json.dumps(annotation_files.lvis())[:700]
  (tmp_path / 'cut.json').write_text(text)
  with pytest.raises(ValueError, match=r'cut\.json ends at byte 700 before its JSON does'):
    columns.read(str(tmp_path / 'cut.json'))
  (tmp_path / 'cut.json.gz').write_bytes(gzip.compress(json.dumps(annotation_files.lvis()).encode())[:300])
  with pytest.raises(ValueError, match=r'cut\.json\.gz ends at byte'):
    columns.read(str(tmp_path / 'cut.json.gz'))


def test_invalid_json_is_an_error_with_the_bytes(tmp_path):
  text = ' ' * 100_000 + json.dumps(annotation_files.lvis()).replace('"bbox":', '"bbox"', 1)
  (tmp_path / 'bad.json').write_text(text)
  with pytest.raises(ValueError, match=r'bad\.json is not valid JSON at byte 100628, in .*"bbox" \[1'):
    columns.read(str(tmp_path / 'bad.json'))


def test_a_missing_file_is_an_error_with_all_names_tried(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'none of .*/a/train\.json, .*/train_v1\.json exists.*config\.data\.dir'):
    find(str(tmp_path), ('a/train.json', 'train_v1.json'))
  annotation_files.write(tmp_path, annotation_files.lvis(), 'train_v1.json')
  assert find(str(tmp_path), ('a/train.json', 'train_v1.json')) == str(tmp_path / 'train_v1.json')
  with pytest.raises(FileNotFoundError, match='no annotation file'):
    columns.read(str(tmp_path / 'nothing.json'))


def test_real_lvis_and_coco_files():
  folder = photos()
  lvis = columns.read(str(folder / 'mini_lvis/train.json'))
  assert (len(lvis), lvis.counts['objects'], len(lvis.categories)) == (343, 2945, 80)
  coco = columns.read(str(folder / 'mini_lvis/coco_instances_train.json.gz'))
  assert (len(coco), coco.counts['objects'], coco.counts['crowds']) == (343, 2974, 29)
  assert {category.frequency for category in coco.categories} == {''}
  np.testing.assert_array_equal(coco.image_ids, lvis.image_ids)
  # The same objects, in both files in the same order, but for COCO's crowds.
  for i in range(len(lvis)):
    ours, theirs = lvis.objects(i), coco.objects(i)
    single = theirs.crowds == 0
    np.testing.assert_array_equal(ours.boxes, theirs.boxes[single])
    np.testing.assert_array_equal(ours.polygon_points, theirs.polygon_points)
    assert all(bool(rle) == bool(crowd) for rle, crowd in zip(theirs.rle, theirs.crowds, strict=True))
  old = columns.read(str(folder / 'lvis_val_photos/val_v0.5.json'))
  assert (len(old), old.counts['objects'], len(old.categories)) == (12, 93, 1230)


def test_columns_equal_the_json(tmp_path):
  path = photos() / 'mini_lvis/val_v1ids.json'
  content = json.loads(path.read_text())
  found = columns.read(str(path))
  by_image = {image['id']: [] for image in content['images']}
  for annotation in content['annotations']:
    by_image[annotation['image_id']].append(annotation)
  for i, image_id in enumerate(found.image_ids.tolist()):
    objects, expected = found.objects(i), by_image[image_id]
    assert [found.categories[label].id for label in objects.labels] == [a['category_id'] for a in expected]
    flat = [np.array(p, np.float32).reshape(-1, 2) for a in expected for p in a['segmentation']]
    ours = [polygon for polygons in objects.polygons() for polygon in polygons]
    assert len(ours) == len(flat)
    for a, b in zip(ours, flat, strict=True):
      np.testing.assert_array_equal(a, b)
