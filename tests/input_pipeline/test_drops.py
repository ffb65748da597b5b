"""Objects that are lost on the way to training: dropped, counted by reason, told; and none at all."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

import mini_photos
from input_pipeline import dataset, drops, examples, records
from jaxdet.annotations import columns

SIZE = (48, 64)  # height, width


def an_object(number: int, image: int = 1, box=(8, 8, 16, 16), **more) -> dict:
  x, y, width, height = box
  outline = [x, y, x + width, y, x + width, y + height, x, y + height]
  entry = {'id': number, 'image_id': image, 'category_id': 1, 'bbox': list(box), 'area': width * height, 'iscrowd': 0}
  return entry | {'segmentation': [outline]} | more


def write(folder, objects, orientation: int = 1, images: int = 2, name: str = 'train.json', **more) -> str:
  """An annotation file, and images of SIZE as stored, with this EXIF orientation."""
  (folder / 'images').mkdir(parents=True, exist_ok=True)
  exif = Image.Exif()
  exif[0x0112] = orientation
  content = {
    'images': [
      {'id': i, 'height': SIZE[0], 'width': SIZE[1], 'file_name': f'{i}.jpg', **more} for i in range(1, images + 1)
    ],
    'annotations': objects,
    'categories': [{'id': 1, 'name': 'cat'}],
  }
  for image in content['images']:
    Image.new('RGB', SIZE[::-1], (200, 100, 50)).save(folder / 'images' / image['file_name'], exif=exif)
  (folder / name).write_text(json.dumps(content))
  return str(folder / name)


def build(folder, **data):
  """The data set of `train.json`; without `val.json` its annotations serve both splits."""
  settings = {'train': ('train.json',), 'val': ('val.json', 'train.json'), **data}
  return dataset.build(mini_photos.make_config(folder, **settings))


def warnings(caplog) -> list[str]:
  return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
  ('box', 'inside'),
  [
    ((0, 0, 64, 48), True),
    ((63.5, 47.5, 30, 30), True),
    ((-10, -10, 10.5, 10.5), True),
    ((64, 0, 5, 5), False),
    ((0, 48, 5, 5), False),
    ((-5, 0, 5, 5), False),
    ((0, -5, 5, 5), False),
    ((500, 500, 5, 5), False),
  ],
)
def test_an_object_without_area_in_its_image_is_dropped(tmp_path, box, inside):
  objects = [an_object(1), an_object(2, image=2, box=box), an_object(3)]
  annotations = drops.without_objects_outside(columns.read(write(tmp_path, objects)))
  assert annotations.counts['objects'] == 2 + inside
  assert annotations.counts[drops.OUTSIDE] == 1 - inside
  assert annotations.counts['images_without_objects'] == 1 - inside
  assert annotations.objects(0).boxes[:, 0].tolist() == [8, 8] and len(annotations.objects(1).boxes) == inside


def test_counts_of_kinds_are_of_the_objects_that_stay(tmp_path):
  outside = (100, 0, 5, 5)
  crowd = {'iscrowd': 1, 'segmentation': {'size': list(SIZE), 'counts': [10, 5, 48 * 64 - 15]}}
  objects = [
    *(an_object(1, **crowd), an_object(2, box=outside, **crowd)),
    *(an_object(3, ignore=1), an_object(4, box=outside, ignore=1)),
    *(an_object(5, segmentation=[]), an_object(6, box=outside, segmentation=[])),
  ]
  counts = drops.without_objects_outside(columns.read(write(tmp_path, objects))).counts
  assert (counts['crowds'], counts['ignored'], counts['objects_without_mask'], counts[drops.OUTSIDE]) == (1, 1, 1, 3)


def test_drops_are_in_the_manifest_and_in_the_log(tmp_path, caplog):
  objects = [an_object(i) for i in range(1, 5)]
  objects += [
    an_object(5, box=(100, 0, 5, 5)),
    an_object(6, segmentation=[[8, 8, 24, 24]]),
    an_object(7, box=(1, 1, 0, 5)),
  ]
  path = write(tmp_path, objects)
  train = build(tmp_path).train
  assert train.counts['objects'] == 4 == len(train.labels.values)
  manifest = records.load_manifest(train.folder, 'train')
  assert manifest['counts'][drops.OUTSIDE] == 1
  assert (
    f"split 'train' of {path}: 4 objects in 2 images; 3 of 7 objects in the file are not used: "
    'dropped_boxes_without_area 1, dropped_objects_without_valid_polygon 1, dropped_objects_outside_image 1'
  ) in warnings(caplog)
  caplog.clear()
  build(tmp_path)  # every start says so
  assert len(warnings(caplog)) == 2


@pytest.mark.parametrize(('lost', 'level'), [(1, logging.INFO), (2, logging.WARNING)])
def test_more_than_a_twentieth_is_a_warning(caplog, lost, level):
  counts = {'objects': 20 - lost, 'images': 3, 'dropped_boxes_without_area': lost}
  with caplog.at_level(logging.INFO, logger='absl'):
    drops.report('train', 'a.json', counts)
  assert [record.levelno for record in caplog.records] == [level]


def test_objects_that_training_with_masks_leaves_out_are_lost_too(caplog):
  counts = {'objects': 4, 'images': 3, 'objects_without_mask': 2}
  drops.report('train', 'a.json', counts, ('objects_without_mask',))
  assert warnings(caplog) == [
    "split 'train' of a.json: 4 objects in 3 images; 2 of 4 objects in the file are not used: objects_without_mask 2"
  ]


def test_polygons_are_not_objects():
  counts = {'objects': 4, 'dropped_polygons_under_three_points': 9, 'dropped_boxes_without_area': 0}
  assert drops.dropped(counts) == {}


@pytest.mark.parametrize(
  ('objects', 'reason'),
  [
    ([], '2 images, 0 objects'),
    ([an_object(1, segmentation=[[8, 8, 24, 24]])], '0 objects, dropped_objects_without_valid_polygon 1'),
    ([an_object(1, box=(100, 0, 5, 5))], '0 objects, dropped_objects_outside_image 1'),
    ([an_object(1, iscrowd=1)], '1 objects, crowds 1'),
    ([an_object(1, iscrowd=1), an_object(2, box=(0, 0, 0, 1))], '1 objects, dropped_boxes_without_area 1, crowds 1'),
    ([an_object(1, iscrowd=1), an_object(2, segmentation=[])], '2 objects, crowds 1, objects_without_mask 1'),
  ],
)
def test_a_training_set_without_any_object_is_refused(tmp_path, objects, reason):
  write(tmp_path, objects)
  with pytest.raises(
    ValueError, match=rf'no object to train on \(.*train\.json: .*{reason}\): correct the annotations'
  ):
    build(tmp_path)


@pytest.mark.parametrize('ignore', [{'marked': True, 'min_side': 0}, {'marked': False, 'min_side': 20}])
def test_objects_that_the_config_ignores_are_none(tmp_path, ignore):
  write(tmp_path, [an_object(1, ignore=1), an_object(2, image=2, box=(0, 0, 30, 19), ignore=1)])
  assert len(build(tmp_path).train) == 2
  with pytest.raises(ValueError, match=r'2 objects, ignored 2\): .* or change config\.data\.ignore'):
    build(tmp_path, ignore=ignore)


def test_images_without_objects_may_be_a_source_beside_others_and_a_validation_set(tmp_path):
  write(tmp_path, [])
  (tmp_path / 'empty.json').write_bytes((tmp_path / 'train.json').read_bytes())
  (tmp_path / 'val.json').write_bytes((tmp_path / 'train.json').read_bytes())
  write(tmp_path, [an_object(1)])
  built = build(tmp_path, more_sources={'background': {'train': ('empty.json',)}})
  assert [len(source.records.labels.values) for source in built.sources] == [1, 0]
  assert len(built.val.labels.values) == 0


def test_images_that_are_labelled_as_a_whole_need_no_objects(tmp_path):
  write(tmp_path, [], pos_category_ids=[1])
  assert len(build(tmp_path, image_labels=True).train) == 2


@pytest.mark.parametrize('orientation', [6, 8])
def test_an_image_that_is_annotated_as_stored_is_not_turned_and_counted(tmp_path, caplog, orientation):
  path = write(tmp_path, [an_object(1)], orientation)
  built = build(tmp_path)
  assert built.train.counts[drops.UNTURNED] == 2 and built.train.counts[drops.TURNED_BOXES] == 0
  assert built.train.image_sizes.tolist() == [list(SIZE)] * 2
  assert any(f"'train' of {path}: 2 images are annotated with the size before the turn" in w for w in warnings(caplog))


@pytest.mark.parametrize('orientation', [1, 3])
def test_an_image_whose_sides_stay_is_not_counted(tmp_path, caplog, orientation):
  write(tmp_path, [an_object(1)], orientation)
  assert build(tmp_path).train.counts[drops.UNTURNED] == 0
  assert warnings(caplog) == []


def test_an_image_that_is_annotated_upright_is_turned(tmp_path, caplog):
  write(tmp_path, [an_object(1)], 6, height=SIZE[1], width=SIZE[0])
  built = build(tmp_path)
  assert built.train.counts[drops.UNTURNED] == 0 and warnings(caplog) == []
  assert built.train.image_sizes.tolist() == [list(SIZE[::-1])] * 2


@pytest.mark.parametrize('box', [(4, 52, 10, 10), (4, 40, 10, 20)])  # in the upright image of 64 x 48
def test_boxes_of_the_upright_image_with_the_size_of_the_stored_one_are_told(tmp_path, caplog, box):
  write(tmp_path, [an_object(1), an_object(2), an_object(3, box=box)], 6)
  built = build(tmp_path)
  assert built.train.counts[drops.TURNED_BOXES] == 1
  said = warnings(caplog)
  assert any('boxes of 1 images' in each and each.endswith(': images/1.jpg') for each in said)
  assert any('1 of these have boxes that fit only the turned image' in each for each in said)


@pytest.mark.parametrize('box', [(4, 40, 10, 40), (40, 40, 30, 5)])
def test_boxes_that_leave_both_are_no_sign_of_the_turned_image(tmp_path, box):
  annotations = columns.read(write(tmp_path, [an_object(1, box=box)], 6))
  assert drops.with_turned_boxes(annotations, [0, 1]) == []


def test_counts_of_turns_survive_an_interruption(tmp_path, monkeypatch):
  monkeypatch.setattr(records, 'IMAGES_PER_SHARD', 1)
  write(tmp_path, [an_object(1)], 6)
  serialize = examples.serialize

  def stop_at_the_second(example):
    if example.image_id == 2:
      raise KeyboardInterrupt
    return serialize(example)

  with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
    context.setattr(examples, 'serialize', stop_at_the_second)
    build(tmp_path)
  assert build(tmp_path).train.counts[drops.UNTURNED] == 2


def test_boxes_are_where_the_pixels_are_of_an_image_that_is_annotated_as_stored(tmp_path):
  """A white square on black, under the only box: it is white in the batch too."""
  write(tmp_path, [an_object(1, box=(40, 8, 16, 16))], images=1)
  exif = Image.Exif()
  exif[0x0112] = 6
  image = Image.new('RGB', SIZE[::-1])
  image.paste((255, 255, 255), (40, 8, 56, 24))
  image.save(tmp_path / 'images' / '1.jpg', exif=exif)
  batch = next(build(tmp_path).train_batches(0))
  x1, y1, x2, y2 = np.round(batch.objects.boxes[0, 0]).astype(int)
  pixels = batch.image[0, y1:y2, x1:x2]
  assert pixels.size and pixels.mean() > 230
