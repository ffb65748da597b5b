"""Configs inside checkpoints of jaxdet 0.1 and later ones, with the keys of today."""

from typing import Any

Tree = dict[str, Any]


def is_of_0_1(model: Tree) -> bool:
  """Whether `config.model` has the keys of version 0.1."""
  return 'frozen' not in model


def upgraded(model: Tree) -> Tree:
  """`config.model` of version 0.1 as today's: the same parameters by the same names, the same losses and detections."""
  new = {key: value for key, value in model.items() if key not in ('rpn', 'roi', 'proposals')}
  new['backbone'] = {key: value for key, value in model['backbone'].items() if key != 'frozen_stages'}
  if model['neck']['name'] == 'fpn':
    new['neck'] = {**model['neck'], 'upsample': 'nearest'}
  new['frozen'] = frozen_stages(model['backbone']['frozen_stages'])
  if 'anchors' in model.get('head', {}):
    new['head'] = {**model['head'], 'anchors': _anchors(model['head']['anchors'])}
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
  """`config.data` of an earlier version with the keys that have come since, as things were without them."""
  if 'mask_size' not in data:
    return data  # not of a data set of records
  later = {
    'keypoints': {'points': 0, 'flip_pairs': ()},
    'semantic': {'dir': '', 'suffix': '.png', 'ignore': 255, 'nearest': 'corner'},
    'image_labels': False,
    'more_sources': {},
    'rate': 1.0,
  }
  return {**later, **data}


def frozen_stages(count: int) -> tuple[str, ...]:
  """The pattern of the stem (0), or the stem and `count` stages; none for -1."""
  if count < 0:
    return ()
  parts = ['stem', *(f'stage{level}' for level in range(2, 2 + count))]
  return (rf'^backbone/({"|".join(parts)})/',)


def _proposals(rpn: Tree) -> Tree:
  if not rpn['name']:
    return {'name': 'given', 'count': rpn['test_proposals']['post_nms']}
  matcher, sampler = {'name': 'max_iou', **rpn['matcher']}, {'name': 'random', **rpn['sampler']}
  return {**rpn, 'anchors': _anchors(rpn['anchors']), 'matcher': matcher, 'sampler': sampler}


def _anchors(anchors: Tree) -> Tree:
  return {'strides': (), **anchors}


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
    'matcher': {'name': 'max_iou', **roi['matcher']},
    'sampler': {'name': 'random', **roi['sampler']},
    'box_head': {key: value for key, value in roi['box_head'].items() if key != 'retrain_classifier'},
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
