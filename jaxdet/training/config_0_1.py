"""Configs inside checkpoints of jaxdet 0.1 and later ones, with the keys of today."""

from collections.abc import Mapping
from typing import Any

Tree = dict[str, Any]

SCALE_CLAMPS = {'above': 'max', 'both': 'symmetric'}
ANCHOR_ORDERS = {'size': 'size_major', 'aspect_ratio': 'ratio_major'}
LOW_QUALITY_MATCHES = {'own': 'best_iou', 'object': 'gt_claims', 'object_first': 'gt_claims_first', 'none': 'off'}
LIMITS = {'pre_nms': 'pre_nms_topk', 'post_nms': 'post_nms_topk'}


def is_of_0_1(model: Tree) -> bool:
  """True if `config.model` has the keys of version 0.1."""
  return 'frozen' not in model


def upgraded(model: Tree) -> Tree:
  """Upgrades `config.model` of version 0.1: same parameters by the same names, same losses and detections."""
  new = {key: value for key, value in model.items() if key not in ('rpn', 'roi', 'proposals')}
  new['backbone'] = _backbone(model['backbone'])
  if model['neck']['name'] == 'fpn':
    new['neck'] = {**model['neck'], 'upsample': 'nearest'}
  new['frozen'] = frozen_stages(model['backbone']['frozen_stages'])
  if 'head' in model:
    new['head'] = _head(model['head'])
  new['test'] = _test(model['test'])
  if model['name'] in ('mask_rcnn', 'cascade_rcnn', 'proposal_network'):
    new['name'] = 'proposal_network' if model['name'] == 'proposal_network' else 'two_stage'
    new['proposals'] = _proposals(model['rpn'])
    if new['name'] == 'two_stage':
      new['roi'] = _roi(model['roi'], model['name'] == 'cascade_rcnn')
      head = model['roi']['box_head']
      if head['calibration'] or head['retrain_classifier']:
        part = 'calibration' if head['calibration'] else 'logits'
        new['frozen'] = (rf'^(?!box_head\d*/{part}/)',)
  elif model.get('proposals', {}).get('name'):
    new['encoder_proposals'] = {key: value for key, value in model['proposals'].items() if key != 'name'}
  return new


def with_later_keys(data: Tree) -> Tree:
  """Adds newer keys to `config.data` of an earlier version, with values of the earlier behaviour."""
  if 'mask_size' not in data:
    return data  # not of a data set of records
  later = {
    'test_canvases': (),
    'photometric': {
      'distort': False,
      'of_file': False,
      'brightness': 32.0,
      'contrast': (0.5, 1.5),
      'saturation': (0.5, 1.5),
      'hue': 18.0,
    },
    'keypoints': {'points': 0, 'flip_pairs': ()},
    'semantic': {'dir': '', 'suffix': '.png', 'ignore': 255, 'nearest': 'corner'},
    'image_labels': False,
    'more_sources': {},
    'rate': 1.0,
    'compare_categories': 'ids_and_names',
  }
  windows = {
    'window': {
      'expand_probability': 0.0,
      'expand_ratio': 4.0,
      'ground': (123, 116, 103),
      'min_ious': (),
      'min_side': 0.3,
    },
    'center_crop': {
      'scales': (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
      'border': 128,
      'ground': (124, 116, 104),
    },
  }
  return {**later, **data, 'resize': {**windows, **data['resize']}}


def frozen_stages(count: int) -> tuple[str, ...]:
  """Pattern that freezes the stem (0), or the stem and `count` stages; no pattern for -1."""
  if count < 0:
    return ()
  parts = ['stem', *(f'stage{level}' for level in range(2, 2 + count))]
  return (rf'^backbone/({"|".join(parts)})/',)


def _backbone(backbone: Tree) -> Tree:
  moved = ('frozen_stages', 'deformable', 'deformable_levels', 'deformable_groups')
  conv3x3 = {'name': 'plain'}
  if backbone['deformable']:
    conv3x3 = {
      'name': 'deformable',
      'levels': backbone['deformable_levels'],
      'version': backbone['deformable'],
      'offset_groups': backbone['deformable_groups'],
    }
  return {key: value for key, value in backbone.items() if key not in moved} | {'conv3x3': conv3x3}


def _proposals(rpn: Tree) -> Tree:
  if not rpn['name']:
    return {'name': 'given', 'count': rpn['test_proposals']['post_nms']}
  return {
    **rpn,
    'anchors': _anchors(rpn['anchors']),
    'coder': _coder(rpn['coder']),
    'clip_border': rpn['coder']['clip'],
    'matcher': {'name': 'max_iou', **_matcher(rpn['matcher'])},
    'sampler': {'name': 'random', **rpn['sampler']},
    'train_proposals': _renamed(rpn['train_proposals'], LIMITS),
    'test_proposals': _renamed(rpn['test_proposals'], LIMITS),
  }


def _head(head: Tree) -> Tree:
  parts = {'anchors': _anchors, 'coder': _coder, 'matcher': _matcher}
  return {key: parts[key](value) if key in parts else value for key, value in head.items()}


def _anchors(anchors: Tree) -> Tree:
  rest = {key: value for key, value in anchors.items() if key != 'major'}
  return {'strides': (), **rest, 'anchor_order': ANCHOR_ORDERS[anchors['major']]}


def _coder(coder: Tree) -> Tree:
  return {
    'name': 'deltas',
    'weights': coder['weights'],
    'scale_clamp': SCALE_CLAMPS[coder['clamp']],
    'legacy_plus_one': bool(coder.get('extra', 0)),
  }


def _matcher(matcher: Tree) -> Tree:
  if 'low_quality' not in matcher:
    return matcher
  rest = {key: value for key, value in matcher.items() if key != 'low_quality'}
  return {**rest, 'low_quality_matches': LOW_QUALITY_MATCHES[matcher['low_quality']]}


def _test(test: Tree) -> Tree:
  new = _renamed(test, LIMITS | {'candidates': 'pre_nms_topk', 'drop_empty': 'drop_empty_boxes'})
  if 'extra' in new:  # a dense detector's
    new['legacy_plus_one'] = bool(new.pop('extra'))
    new['clip_before_nms'] = new.pop('clip') == 'before'
  return new


def _renamed(tree: Tree, names: Mapping[str, str]) -> Tree:
  return {names.get(key, key): value for key, value in tree.items()}


def _box_head(head: Tree) -> Tree:
  return {key: value for key, value in head.items() if key != 'retrain_classifier'} | {'box_regression': True}


def _roi(roi: Tree, is_cascade: bool) -> Tree:
  pooling = ('levels', 'canonical_size', 'canonical_level', 'sampling_ratio', 'aligned')
  pooler = {'name': 'roi_align', **{key: roi[key] for key in pooling}}
  if roi['deformable_pooling']:
    pooler |= {'name': 'deformable', 'version': roi['deformable_pooling']}
  changed = (*pooling, 'deformable_pooling', 'cascade', 'mask_head')
  new = {key: value for key, value in roi.items() if key not in changed}
  new |= {
    'stage': 'standard',
    'pooler': pooler,
    'coder': _coder(roi['coder']),
    'clip_border': roi['coder']['clip'],
    'matcher': {'name': 'max_iou', **_matcher(roi['matcher'])},
    'sampler': {'name': 'random', **roi['sampler']},
    'box_head': _box_head(roi['box_head']),
    'tasks': (),
  }
  mask_head_stages = 'first'
  if is_cascade:
    mask_head_stages = roi['cascade']['mask_heads']
    new['cascade'] = {key: value for key, value in roi['cascade'].items() if key != 'mask_heads'}
  if roi['mask_head']['name']:
    new['tasks'] = ('mask',)
    new['mask_head'] = {**roi['mask_head'], 'stages': mask_head_stages}
  return new
