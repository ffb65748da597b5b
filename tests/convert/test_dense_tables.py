"""Tables of heads on pyramids name every array of a model once, and upstream's names and shapes are the known ones."""

import functools
import pathlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxdet.configuration import load_config
from jaxdet.convert.frameworks import detector_rules, export, shapes
from jaxdet.convert.rules import LOSS_STATE, export_state, import_state

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / 'configs'
NAMES = {
  ('mmdet', 'mmdet/retinanet.py:backbone=r18'): {
    'neck.fpn_convs.3.conv.weight': (256, 512, 3, 3),
    'bbox_head.cls_convs.3.conv.bias': (256,),
    'bbox_head.retina_cls.weight': (720, 256, 3, 3),
    'bbox_head.retina_reg.bias': (36,),
  },
  ('mmdet', 'mmdet/fcos.py:backbone=r18,form=improved'): {
    'neck.fpn_convs.4.conv.weight': (256, 256, 3, 3),
    'bbox_head.reg_convs.0.conv.bias': (256,),
    'bbox_head.reg_convs.0.gn.weight': (256,),
    'bbox_head.conv_centerness.weight': (1, 256, 3, 3),
    'bbox_head.scales.4.scale': (),
  },
  ('mmdet', 'mmdet/fcos.py:backbone=r18,form=improved,deformable_tower=true'): {
    'bbox_head.cls_convs.3.conv.weight': (256, 256, 3, 3),
    'bbox_head.cls_convs.3.conv.bias': (256,),
    'bbox_head.reg_convs.3.conv.conv_offset.weight': (27, 256, 3, 3),
    'bbox_head.reg_convs.3.conv.conv_offset.bias': (27,),
  },
  ('mmdet', 'mmdet/atss.py:backbone=r18'): {
    'bbox_head.atss_cls.weight': (80, 256, 3, 3),
    'bbox_head.atss_centerness.bias': (1,),
  },
  ('mmdet', 'mmdet/gfl.py:backbone=r18'): {'bbox_head.gfl_reg.weight': (68, 256, 3, 3)},
  ('mmdet', 'mmdet/ssd.py:size=512'): {
    'backbone.features.0.weight': (64, 3, 3, 3),
    'backbone.features.28.weight': (512, 512, 3, 3),
    'backbone.features.31.weight': (1024, 512, 3, 3),
    'backbone.features.33.weight': (1024, 1024, 1, 1),
    'neck.l2_norm.weight': (512,),
    'neck.extra_layers.4.0.conv.weight': (128, 256, 1, 1),
    'neck.extra_layers.4.1.conv.weight': (256, 128, 4, 4),
    'bbox_head.cls_convs.4.0.weight': (486, 256, 3, 3),
    'bbox_head.reg_convs.6.0.bias': (16,),
  },
  ('detectron2', 'detectron2/retinanet.py:backbone=r18,weights=torchvision'): {
    'backbone.top_block.p6.weight': (256, 512, 3, 3),
    'head.bbox_subnet.2.weight': (256, 256, 3, 3),
    'head.cls_score.bias': (720,),
  },
  ('detectron2', 'detectron2/fcos.py:backbone=r18,weights=torchvision'): {
    'backbone.top_block.p7.bias': (256,),
    'head.cls_subnet.9.bias': (256,),
    'head.cls_subnet.10.weight': (256,),
    'head.ctrness.weight': (1, 256, 3, 3),
  },
  ('detectron2', 'detectron2/semantic_fpn.py:backbone=r18'): {
    'sem_seg_head.p2.0.weight': (128, 256, 3, 3),
    'sem_seg_head.p5.4.norm.bias': (128,),
    'sem_seg_head.predictor.weight': (54, 128, 1, 1),
  },
}


@functools.cache
def model(name: str):
  config = load_config(f'{CONFIGS}/{name}').unlock().model
  config.num_classes = 80
  return config, shapes(config)


@pytest.mark.parametrize('program, name', NAMES)
def test_what_is_exported_comes_back(program, name):
  config, like = model(name)
  rules = detector_rules(program, config)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32) if s.shape else np.float32(2), like)
  weights = [path for path in flatten_dict(like, sep='/') if not LOSS_STATE.match(path)]
  assert sorted(rule.path for rule in rules) == sorted(weights)
  state = export_state(variables, rules)
  assert {array: state[array].shape for array in NAMES[program, name]} == NAMES[program, name]
  again, report = import_state(state, like, rules)
  report.check()
  for path in weights:
    np.testing.assert_array_equal(flatten_dict(again, sep='/')[path], flatten_dict(variables, sep='/')[path])


def test_what_a_loss_keeps_is_in_no_checkpoint():
  config, like = model('detectron2/retinanet.py:backbone=r18,weights=torchvision')
  assert 'batch_stats/loss/positives' in flatten_dict(like, sep='/')
  variables = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), like)
  assert not [name for name in export('detectron2', variables, config) if 'loss' in name]


def test_mmdetections_gfl_keeps_the_numbers_of_its_distributions():
  config, like = model('mmdet/gfl.py:backbone=r18')
  state = export('mmdet', jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), like), config)
  assert state['bbox_head.integral.project'].tolist() == list(range(17))
