"""What an evaluation needs is known before there is anything to evaluate."""

import copy
import json

import pytest
from ml_collections import ConfigDict
from test_evaluate import ANNOTATIONS, CONFIG, VARIABLES, Oracle, Split

from jaxdet.evaluation import check_evaluation, evaluate

CANVASES = {'data': {'canvases': ((128, 160),), 'test_canvases': (), 'compare_categories': 'ids_and_names'}}
BOXES = ('bbox',)


def check(folder, content=None, detector=None, **evaluation):
  config = ConfigDict({**CONFIG, **CANVASES})
  config.eval.update(evaluation)
  if content is not None:
    (folder / 'val.json').write_text(json.dumps(content))
  dataset = Split(str(folder / 'val.json'))
  return check_evaluation(config, detector or Oracle(), VARIABLES, dataset, str(folder / 'run')), config, dataset


def without(*keys):
  """The annotations without these keys of images and objects."""
  content = copy.deepcopy(ANNOTATIONS)
  for entry in content['images'] + content['annotations'][1:2]:
    for key in keys:
      entry.pop(key, None)
  return content


@pytest.mark.parametrize(
  ('protocol', 'iou_types'),
  [
    ('lvis', ('bbox', 'segm')),
    ('lvis_fixed', ('segm',)),
    ('coco', ('bbox', 'segm')),
    ('voc', BOXES),
    ('proposals', BOXES),
  ],
)
def test_the_metrics_that_will_come_are_known(protocol, iou_types, tmp_path):
  """Small objects of rare and frequent categories: no value for other sizes and for common ones."""
  foreseen, config, dataset = check(tmp_path, ANNOTATIONS, protocol=protocol, iou_types=iou_types)
  assert not (tmp_path / 'run').exists()
  found = evaluate(config, Oracle(), VARIABLES, dataset, str(tmp_path / 'run'))
  assert tuple(foreseen) == iou_types
  for iou_type in iou_types:
    none = {name: value is None for name, value in found[iou_type].items()}
    assert {name: value is None for name, value in foreseen[iou_type].items()} == none
    assert not all(none.values()) and (protocol == 'voc' or any(none.values()))


@pytest.mark.parametrize(
  ('lacking', 'settings', 'message'),
  [
    ('neg_category_ids', {'protocol': 'lvis'}, "val.json: not every image has 'neg_category_ids', .* 'coco'"),
    ('neg_category_ids', {'protocol': 'lvis_fixed'}, "val.json: not every image has 'neg_category_ids'"),
    ('', {'protocol': 'voc'}, r"'segm' has no metrics by eval.protocol 'voc': set eval.iou_types to \('bbox',\)"),
    ('', {'protocol': 'proposals'}, r"'proposals' is about boxes alone: set eval.iou_types to \('bbox',\)"),
    ('', {'protocol': 'lvsi'}, "unknown eval.protocol 'lvsi'; the nearest is 'lvis'"),
    ('', {'protocol': 'semantic'}, "eval.protocol 'semantic' needs eval.semantic: see configs/"),
    ('', {'protocol': 'panoptic'}, "eval.protocol 'panoptic' needs eval.panoptic: see configs/"),
  ],
)
def test_what_a_protocol_needs_is_asked_for(lacking, settings, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    check(tmp_path, without(lacking), **settings)


def test_masks_need_one_object_with_a_mask(tmp_path):
  check(tmp_path, without('segmentation'), protocol='coco')
  boxes = copy.deepcopy(ANNOTATIONS)
  for entry in boxes['annotations']:
    del entry['segmentation']
  with pytest.raises(ValueError, match=r"val.json has no object with a mask: set eval.iou_types to \('bbox',\)"):
    check(tmp_path, boxes, protocol='coco')


def test_a_choice_that_lowers_the_numbers_is_said(tmp_path, caplog):
  with caplog.at_level('WARNING'):
    check(tmp_path, without('neg_category_ids'), protocol='coco')
    assert caplog.text == ''
    check(tmp_path, ANNOTATIONS, protocol='coco')
    assert "lists neg_category_ids, as LVIS does, and eval.protocol 'coco' takes" in caplog.text
    check(tmp_path, ANNOTATIONS, protocol='lvis_fixed')
    assert 'fixed AP takes detections of any score, and model.test.score_threshold is 0.05' in caplog.text


def test_files_that_need_no_such_thing_pass(tmp_path):
  check(tmp_path, without('neg_category_ids'), protocol='coco')
  check(tmp_path, without('segmentation'), protocol='lvis', iou_types=BOXES)


def test_a_detector_without_masks_is_known_by_its_shapes(tmp_path):
  detector = Oracle(with_masks=False)
  with pytest.raises(ValueError, match=r"the detector has no masks: set eval.iou_types to \('bbox',\)"):
    check(tmp_path, ANNOTATIONS, detector)
  check(tmp_path, ANNOTATIONS, detector, iou_types=BOXES)


def test_a_missing_file_and_one_of_other_images_are_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'val\.json'):
    check(tmp_path)
  more = ANNOTATIONS | {'images': [*ANNOTATIONS['images'], ANNOTATIONS['images'][0] | {'id': 7}]}
  with pytest.raises(ValueError, match='split has 5 images and .*val.json has 6, not all the same'):
    check(tmp_path, more)


def test_a_split_without_objects_has_no_value(tmp_path):
  foreseen, *_ = check(tmp_path, ANNOTATIONS | {'annotations': []})
  assert set(foreseen['segm'].values()) == {None}
