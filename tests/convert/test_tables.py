"""Each table names every array of the model once, and upstream's names and shapes are the known ones."""

import functools

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs.parts import necks, roi
from jaxdet.convert.frameworks import detector_rules, shapes
from jaxdet.convert.rules import export_state, import_state
from upstream_case import lvis_mask_rcnn


@functools.cache
def model(depth: int, norm: str, neck_norm: str = '', masks: bool = True):
  config = lvis_mask_rcnn()
  config.num_classes = 90
  config.backbone.update({'depth': depth, 'norm': norm})
  config.neck.norm = neck_norm
  config.roi.tasks = ('mask',) if masks else ()
  return config, shapes(config)


@pytest.mark.parametrize('program', ['detectron2', 'mmdet', 'torchvision'])
@pytest.mark.parametrize('depth, norm', [(18, 'sync_bn'), (50, 'frozen_bn'), (101, 'bn_eval')])
def test_every_array_has_one_rule(program, depth, norm):
  config, like = model(depth, norm)
  table = detector_rules(program, config)
  assert sorted(rule.path for rule in table) == sorted(flatten_dict(like, sep='/'))
  assert len({rule.upstream for rule in table}) == len(table)


@pytest.mark.parametrize('program', ['detectron2', 'mmdet'])
def test_group_norm_and_no_masks(program):
  config, like = model(50, 'gn', 'gn', masks=False)
  table = detector_rules(program, config)
  assert sorted(rule.path for rule in table) == sorted(flatten_dict(like, sep='/'))


NAMES = {
  'detectron2': {
    'backbone.bottom_up.stem.conv1.norm.running_mean': (64,),
    'backbone.bottom_up.res3.0.shortcut.weight': (512, 256, 1, 1),
    'backbone.fpn_lateral5.weight': (256, 2048, 1, 1),
    'proposal_generator.rpn_head.anchor_deltas.weight': (12, 256, 1, 1),
    'roi_heads.box_head.fc1.weight': (1024, 12544),
    'roi_heads.box_predictor.cls_score.weight': (91, 1024),
    'roi_heads.mask_head.deconv.weight': (256, 256, 2, 2),
  },
  'mmdet': {
    'backbone.bn1.running_var': (64,),
    'backbone.layer2.0.downsample.0.weight': (512, 256, 1, 1),
    'neck.lateral_convs.3.conv.weight': (256, 2048, 1, 1),
    'rpn_head.rpn_reg.bias': (12,),
    'roi_head.bbox_head.shared_fcs.0.weight': (1024, 12544),
    'roi_head.bbox_head.fc_reg.weight': (360, 1024),
    'roi_head.mask_head.conv_logits.weight': (90, 256, 1, 1),
  },
  'torchvision': {
    'backbone.body.layer4.2.bn3.weight': (2048,),
    'backbone.fpn.inner_blocks.3.0.weight': (256, 2048, 1, 1),
    'backbone.fpn.layer_blocks.0.0.bias': (256,),
    'rpn.head.conv.0.0.weight': (256, 256, 3, 3),
    'roi_heads.box_head.fc6.weight': (1024, 12544),
    'roi_heads.box_predictor.bbox_pred.weight': (364, 1024),
    'roi_heads.mask_predictor.mask_fcn_logits.bias': (91,),
  },
}


@pytest.mark.parametrize('program', NAMES)
def test_what_is_exported_comes_back(program):
  config, like = model(50, 'frozen_bn')
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32), like)
  table = detector_rules(program, config)
  state = export_state(variables, table)
  assert {name: state[name].shape for name in NAMES[program]} == NAMES[program]
  again, report = import_state(state, like, table)
  report.check()
  jax.tree.map(np.testing.assert_array_equal, variables, again)


def test_the_layers_that_move_regions_bins_have_mmdetections_names():
  config = lvis_mask_rcnn()
  config.num_classes = 90
  config.roi.pooler = {**config.roi.pooler, 'name': 'deformable', 'version': 'v2'}
  like = shapes(config)
  table = detector_rules('mmdet', config)
  assert sorted(rule.path for rule in table) == sorted(flatten_dict(like, sep='/'))
  state = export_state(jax.tree.map(lambda s: np.zeros(s.shape, np.float32), like), table)
  layers = 'roi_head.bbox_roi_extractor.roi_layers'
  expected = {
    f'{layers}.0.offset_fc.0.weight': (1024, 12544),
    f'{layers}.3.offset_fc.4.bias': (98,),
    f'{layers}.2.mask_fc.2.weight': (49, 1024),
  }
  assert {name: state[name].shape for name in expected} == expected


def exported_and_back(config) -> dict[str, np.ndarray]:
  """The state of random variables under mmdetection's names, which has every array and is imported as it was."""
  like = shapes(config)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32), like)
  table = detector_rules('mmdet', config)
  assert sorted(rule.path for rule in table) == sorted(flatten_dict(like, sep='/'))
  state = export_state(variables, table)
  again, report = import_state(state, like, table)
  report.check()
  jax.tree.map(np.testing.assert_array_equal, variables, again)
  return state


def test_a_grid_heads_layers_have_mmdetections_names():
  config = lvis_mask_rcnn()
  config.num_classes = 90
  config.roi = roi.mmdet(box_head=roi.box_head(box_regression=False), grid_head=roi.grid_head())
  state = exported_and_back(config)
  head = 'roi_head.grid_head'
  expected = {
    f'{head}.convs.0.conv.weight': (576, 256, 3, 3),
    f'{head}.convs.7.conv.bias': (576,),
    f'{head}.convs.7.gn.weight': (576,),
    f'{head}.deconv1.weight': (576, 64, 4, 4),
    f'{head}.norm1.bias': (576,),
    f'{head}.deconv2.weight': (576, 1, 4, 4),
    f'{head}.deconv2.bias': (9,),
    f'{head}.forder_trans.4.3.0.weight': (64, 1, 5, 5),
    f'{head}.sorder_trans.8.1.1.weight': (64, 64, 1, 1),
  }
  assert {name: state[name].shape for name in expected} == expected
  assert not [name for name in state if 'fc_reg' in name]


def test_a_double_heads_layers_have_mmdetections_names():
  config = lvis_mask_rcnn()
  config.num_classes = 90
  config.roi = {**roi.mmdet(box_head=roi.double_box_head()), 'stage': 'double', 'box_scale': 1.3}
  state = exported_and_back(config)
  head = 'roi_head.bbox_head'
  expected = {
    f'{head}.res_block.conv1.conv.weight': (256, 256, 3, 3),
    f'{head}.res_block.conv2.bn.running_mean': (1024,),
    f'{head}.res_block.conv_identity.conv.weight': (1024, 256, 1, 1),
    f'{head}.conv_branch.3.conv2.weight': (256, 256, 3, 3),
    f'{head}.conv_branch.0.bn3.bias': (1024,),
    f'{head}.fc_branch.0.weight': (1024, 12544),
    f'{head}.fc_branch.1.bias': (1024,),
    f'{head}.fc_cls.weight': (91, 1024),
    f'{head}.fc_reg.weight': (360, 1024),
  }
  assert {name: state[name].shape for name in expected} == expected


def test_a_balanced_pyramids_layers_have_mmdetections_names():
  config = lvis_mask_rcnn()
  config.num_classes = 90
  config.neck = necks.balanced_fpn()
  state = exported_and_back(config)
  expected = {
    'neck.0.lateral_convs.3.conv.weight': (256, 2048, 1, 1),
    'neck.0.fpn_convs.0.conv.bias': (256,),
    'neck.1.refine.g.conv.weight': (256, 256, 1, 1),
    'neck.1.refine.theta.conv.bias': (256,),
    'neck.1.refine.phi.conv.weight': (256, 256, 1, 1),
    'neck.1.refine.conv_out.conv.weight': (256, 256, 1, 1),
  }
  assert {name: state[name].shape for name in expected} == expected


def test_a_mask_iou_heads_layers_have_mmdetections_names():
  config = lvis_mask_rcnn()
  config.num_classes = 90
  heads = {'mask_head': roi.mask_head(), 'mask_iou_head': roi.mask_iou_head()}
  config.roi = roi.mmdet(box_head=roi.box_head(), **heads)
  like = shapes(config)
  table = detector_rules('mmdet', config)
  assert sorted(rule.path for rule in table) == sorted(flatten_dict(like, sep='/'))
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32), like)
  state = export_state(variables, table)
  head = 'roi_head.mask_iou_head'
  expected = {
    'roi_head.mask_head.conv_logits.weight': (90, 256, 1, 1),
    f'{head}.convs.0.weight': (256, 257, 3, 3),
    f'{head}.convs.3.bias': (256,),
    f'{head}.fcs.0.weight': (1024, 12544),
    f'{head}.fcs.1.weight': (1024, 1024),
    f'{head}.fc_mask_iou.weight': (90, 1024),
  }
  assert {name: state[name].shape for name in expected} == expected
  kernel = variables['params']['mask_iou_head']['fc0']['kernel'].reshape(7, 7, 256, 1024)
  np.testing.assert_array_equal(state[f'{head}.fcs.0.weight'][3].reshape(256, 7, 7), kernel[..., 3].transpose(2, 0, 1))
  again, report = import_state(state, like, table)
  report.check()
  jax.tree.map(np.testing.assert_array_equal, variables, again)


@pytest.mark.parametrize('program', NAMES)
def test_layouts_that_no_rank_tells(program):
  """A deconvolution has the rank of a convolution, a layer after flattening that of any other, often the shape too."""
  config, _ = model(50, 'frozen_bn')
  layouts = {rule.path.removeprefix('params/'): rule.layout for rule in detector_rules(program, config)}
  weight = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)  # IOHW
  assert layouts['mask_head/deconv/kernel'].to_jaxdet(weight)[1, 2, 0, 1] == weight[0, 1, 1, 2]
  weight = np.arange(2 * 3 * 49).reshape(2, 3 * 49)
  flattened = weight.reshape(2, 3, 7, 7)
  assert layouts['box_head/fc0/kernel'].to_jaxdet(weight).reshape(7, 7, 3, 2)[4, 5, 1, 0] == flattened[0, 1, 4, 5]
  weight = np.arange(2 * 147).reshape(2, 147)
  assert np.array_equal(layouts['box_head/fc1/kernel'].to_jaxdet(weight), weight.T)
  for order, channel in (('RGB', 0), ('BGR', 2)):
    config.channel_order = order
    layouts = {rule.path: rule.layout for rule in detector_rules(program, config)}
    weight = np.arange(3).reshape(1, 3, 1, 1)
    assert layouts['params/backbone/stem/conv/kernel'].to_jaxdet(weight)[0, 0, 0, 0] == channel
  config.channel_order = 'RGB'


def test_the_layers_that_move_regions_bins_follow_a_flattened_map():
  config = lvis_mask_rcnn()
  config.num_classes = 2
  config.roi.pooler = {**config.roi.pooler, 'name': 'deformable', 'version': 'v2'}
  layouts = {rule.path: rule.layout for rule in detector_rules('mmdet', config)}
  weight = np.arange(2 * 3 * 49).reshape(2, 3 * 49)
  for name in ('offset5_fc0', 'weight2_fc0'):
    here = layouts[f'params/roi_pool/{name}/kernel'].to_jaxdet(weight).reshape(7, 7, 3, 2)
    assert here[4, 5, 1, 0] == weight.reshape(2, 3, 7, 7)[0, 1, 4, 5]
  assert np.array_equal(layouts['params/roi_pool/offset5_fc1/kernel'].to_jaxdet(weight), weight.T)


def test_torchvisions_background_comes_first():
  """As a class it moves to the end; as a box or a mask it is nothing here."""
  config, _ = model(50, 'frozen_bn')
  layouts = {rule.path.removeprefix('params/'): rule.layout for rule in detector_rules('torchvision', config)}
  assert layouts['box_head/logits/bias'].to_jaxdet(np.arange(4)).tolist() == [1, 2, 3, 0]
  assert layouts['box_head/deltas/bias'].to_jaxdet(np.arange(12)).tolist() == list(range(4, 12))
  assert layouts['mask_head/logits/bias'].to_jaxdet(np.arange(4)).tolist() == [1, 2, 3]
  kernel = layouts['box_head/logits/kernel'].to_jaxdet(np.arange(8).reshape(4, 2))
  assert kernel.T.tolist() == [[2, 3], [4, 5], [6, 7], [0, 1]]


@pytest.mark.parametrize('program, head', [('mmdet', 'bbox_head'), ('detectron2', 'proposal_generator.rpn_head')])
def test_a_network_for_proposals_alone(program, head):
  config = lvis_mask_rcnn()
  config.name, config.num_classes = 'proposal_network', 1
  names = {rule.path: rule.upstream for rule in detector_rules(program, config)}
  assert names['params/rpn_head/conv0/kernel'].startswith(f'{head}.')
