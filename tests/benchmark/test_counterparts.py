"""Which model of torchvision stands against a config, and that both do the same work."""

import pytest

from jaxdet.benchmark.counterparts import counterpart
from jaxdet.benchmark.workload import make_workload
from jaxdet.configuration import load_config
from small_detector import CONFIG


def config_of(name):
  workload = make_workload('x', load_config(f'{CONFIG.parent}/{name}'), 'float32', 1, (64, 64), 2, 1)
  return workload.config


@pytest.mark.parametrize(
  'name, model',
  [
    ('lvis_maskrcnn.py', 'maskrcnn_resnet50_fpn'),
    ('detectron2/faster_rcnn.py', 'fasterrcnn_resnet50_fpn'),
    ('detectron2/retinanet.py', 'retinanet_resnet50_fpn'),
    ('mmdet/fcos.py', 'fcos_resnet50_fpn'),
  ],
)
def test_the_detectors_kind_decides(name, model):
  assert counterpart(config_of(name)).model == model


def test_regions_are_as_many_as_the_config_says():
  side = counterpart(config_of('lvis_maskrcnn.py'))
  assert (side.num_classes, side.first_label) == (1204, 1), 'background is the first class'
  assert side.settings['rpn_post_nms_top_n_train'] == 1000 and side.settings['box_batch_size_per_image'] == 512
  assert side.settings['box_detections_per_img'] == 300 and side.candidates == 4096
  assert (side.frozen_stages, side.norm, side.sampling_ratio) == (1, 'frozen_bn', 0)
  assert side.optimizer == {'name': 'sgd', 'momentum': 0.9, 'weight_decay': 1e-4, 'clip_norm': 0.0}


def test_dense_detectors_let_all_candidates_of_a_level_in():
  side = counterpart(config_of('detectron2/retinanet.py'))
  assert (side.num_classes, side.first_label, side.candidates) == (80, 0, None), 'there is no background'
  assert side.settings == {
    'score_thresh': 0.0,
    'nms_thresh': 0.5,
    'topk_candidates': 1000,
    'detections_per_img': 100,
  }


@pytest.mark.parametrize(
  'name, error',
  [
    ('detectron2/cascade_rcnn.py', 'torchvision has no two_stage on a fpn neck'),
    ('detectron2/mask_rcnn.py:backbone=r101', 'no two_stage on a fpn neck and this backbone .depth 101.'),
    ('detectron2/fast_rcnn.py', 'torchvision has no two_stage'),
    ('mmdet/atss.py', 'torchvision has no atss'),
    ('mmdet/detr.py', 'torchvision has no detr'),
  ],
)
def test_what_torchvision_does_not_have_is_an_error(name, error):
  with pytest.raises(ValueError, match=error):
    counterpart(config_of(name))


def test_another_model_can_be_named_where_settings_have_a_meaning_for_it():
  cascade = config_of('detectron2/cascade_rcnn.py:masks=true')
  assert counterpart(cascade, 'maskrcnn_resnet50_fpn_v2').model == 'maskrcnn_resnet50_fpn_v2'
  with pytest.raises(ValueError, match="unknown --torchvision_model 'yolo': choose one of fasterrcnn_resnet50_fpn"):
    counterpart(cascade, 'yolo')
  with pytest.raises(ValueError, match='--torchvision_model fcos_resnet50_fpn has no settings in common with a'):
    counterpart(cascade, 'fcos_resnet50_fpn')
