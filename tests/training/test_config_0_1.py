"""Configs of version 0.1 become those that today's recipes write for the same models."""

import json
import pathlib

import pytest

from jaxdet.configuration import load_config
from jaxdet.training.checkpoint import Metadata
from jaxdet.training.config_0_1 import is_of_0_1, upgraded, with_later_keys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OLD = json.loads((ROOT / 'tests' / 'data' / 'models_0_1.json').read_text())  # `config.model` as 0.1 wrote it
TODAY = {
  'mask_rcnn': 'lvis_maskrcnn.py:mini',
  'cascade_rcnn': 'mmdet/cascade_rcnn.py:masks=true',
  'fast_rcnn': 'mmdet/fast_rcnn.py',
  'disalign': 'lvis_maskrcnn.py:mini,calibration=disalign',
  'deformable_pooling': 'mmdet/faster_rcnn.py:deformable_pooling=v2',
  'deformable_detr': 'mmdet/deformable_detr.py:refine=true,two_stage=true',
  'retinanet': 'mmdet/retinanet.py',
  'rpn': 'detectron2/rpn.py',
}

# Keys of config.data that 0.1 did not have, and of its `resize`.
LATER = (
  *('test_canvases', 'photometric', 'keypoints', 'semantic', 'image_labels', 'more_sources', 'rate'),
  'compare_categories',
)
LATER_IN_RESIZE = ('window', 'center_crop')


def without(tree, keys):
  return {key: value for key, value in tree.items() if key not in keys}


def plain(tree):
  return json.loads(json.dumps(tree))


@pytest.mark.parametrize('name', OLD)
def test_an_old_model_is_todays(name):
  today = load_config(f'{ROOT}/configs/{TODAY[name]}').model.to_dict()
  assert is_of_0_1(OLD[name]) and not is_of_0_1(today)
  assert plain(upgraded(OLD[name])) == plain(today)


def test_data_of_an_earlier_version_asks_for_nothing_new():
  today = load_config(f'{ROOT}/configs/lvis_maskrcnn.py').data.to_dict()
  old = without(today, LATER) | {'resize': without(today['resize'], LATER_IN_RESIZE)}
  assert with_later_keys(old) == with_later_keys(today) == today
  changed = with_later_keys(today | {'image_labels': True})
  assert changed['image_labels'] is True


def test_a_checkpoint_of_0_1_is_read_with_todays_keys():
  config = {'model': OLD['mask_rcnn'], 'seed': 0}
  read = Metadata.from_json({'config': config, 'categories': [], 'version': '0.1.0', 'metrics': {}})
  assert read.config.model.name == 'two_stage' and read.config.model.proposals.name == 'rpn'
