"""Cascade, C4, DC5, Fast R-CNN and proposals alone, on networks small enough to compile in seconds."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.parts import layouts, roi
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.structures import Proposals
from small_detector import CLASSES, make_batch, small_config, with_valid

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def cascade(model, upstream: str):
  model.roi.box_head.class_agnostic = True
  model.roi.cascade = {'detectron2': roi.detectron2_cascade, 'mmdet': roi.mmdet_cascade}[upstream]()
  model.roi.mask_head.stages = {'detectron2': 'first', 'mmdet': 'every'}[upstream]


def single_level(model, neck: str):
  model.backbone = {**model.backbone, 'depth': 18, 'style': 'pytorch', 'norm': 'gn'}
  layout = layouts.LAYOUTS[neck]
  model.backbone.update(layout.backbone)
  model.neck = layout.neck('')
  model.roi.pooler.levels = (4,)
  model.roi.shared_head = layout.roi.get('shared_head', '')
  model.roi.box_head.update(layout.box_head)
  model.roi.mask_head.update(layout.mask_head)
  model.proposals.anchors.sizes = ((12, 24, 48, 96),)
  model.proposals.train_proposals.update(pre_nms_topk=300, post_nms_topk=50)
  model.proposals.test_proposals.update(pre_nms_topk=300, post_nms_topk=50)


def fast_rcnn(model):
  model.proposals = {'name': 'given', 'count': 4}


def seesaw(model):
  model.roi.class_loss = {'name': 'seesaw', 'p': 0.8, 'q': 2.0}


def deformable_pooling(model):
  model.roi.pooler = {**model.roi.pooler, 'name': 'deformable', 'version': 'v2'}


def proposals_alone(model):
  model.name = 'proposal_network'


CHANGES = {
  'detectron2 cascade': functools.partial(cascade, upstream='detectron2'),
  'mmdet cascade': functools.partial(cascade, upstream='mmdet'),
  'c4': functools.partial(single_level, neck='c4'),
  'dc5': functools.partial(single_level, neck='dc5'),
  'fast r-cnn': fast_rcnn,
  'seesaw': seesaw,
  'deformable pooling': deformable_pooling,
  'proposals alone': proposals_alone,
}


@functools.cache
def built(change: str):
  """(detector, variables, jitted losses and gradients, jitted predict) of a changed small config."""
  config = small_config().copy_and_resolve_references()
  config.model.frozen = ('^backbone/',)  # its backward pass is the same in all, and tested elsewhere
  CHANGES[change](config.model)
  detector = build_detector(config.model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, rest, batch, key):
    losses, _ = forward.loss(detector, rest | {'params': params}, batch, key)
    return sum(value for name, value in losses.items() if name.startswith('loss_')), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return detector, variables, quick_jit(jax.grad(total, has_aux=True)), predict


def batch_for(change: str, images: int = 2):
  batch = make_batch(images=images)
  if change != 'fast r-cnn':
    return batch
  proposals = np.tile(
    np.array([[2, 2, 30, 30], [28, 8, 72, 52], [0, 0, 9, 9], [0, 0, 0, 0]], np.float32), (images, 1, 1)
  )
  return batch.replace(
    proposals=Proposals(proposals, np.zeros((images, 4), np.float32), np.tile([True, True, True, False], (images, 1)))
  )


# A level without a RoI has no gradient, nor has a hidden layer of deformable pooling below a last one that begins with
# zeros; the signs of L1 may cancel in a bias.
MAY_VANISH = re.compile(r"(output|lateral)\d|'deltas'.*'bias'|(offset|weight)[3-5]_fc|offset2_fc[01]|weight2_fc0")


@pytest.mark.parametrize('change', CHANGES)
def test_losses_are_finite_and_reach_every_network(change):
  _, variables, loss, _ = built(change)
  gradients, losses = loss(variables['params'], variables, batch_for(change), jax.random.key(1))
  assert all(np.isfinite(v) for v in losses.values())
  for network, gradient in gradients.items():
    if network == 'backbone':
      continue
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
      name = f'{network}{jax.tree_util.keystr(path)}'
      assert np.isfinite(g).all() and (jnp.abs(g).max() > 0 or MAY_VANISH.search(name)), name


@pytest.mark.parametrize('change', CHANGES)
def test_detections_lie_on_the_image(change):
  _, variables, _, predict = built(change)
  found = predict(variables, batch_for(change))
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= [80, 56, 80, 56]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()
  has_masks = change not in ('proposals alone',)
  assert (found.masks is not None) == has_masks


@pytest.mark.parametrize('change', CHANGES)
def test_one_compilation_serves_all_batches_of_a_shape(change):
  _, variables, loss, predict = built(change)
  batch = batch_for(change)
  other = with_valid(batch, np.zeros_like(batch.objects.valid)).replace(image=batch.image[::-1].copy())
  for each in (batch, other):
    loss(variables['params'], variables, each, jax.random.key(2))
    predict(variables, each)
  assert loss._cache_size() == predict._cache_size() == 1


def test_a_cascade_has_the_losses_of_every_stage():
  expected = {f'loss_{kind}_{k}' for kind in ('class', 'box') for k in range(3)} | {
    'loss_rpn_objectness',
    'loss_rpn_box',
  }
  for upstream, masks in (('detectron2', {'loss_mask_0'}), ('mmdet', {f'loss_mask_{k}' for k in range(3)})):
    _, variables, loss, _ = built(f'{upstream} cascade')
    _, losses = loss(variables['params'], variables, batch_for(''), jax.random.key(1))
    assert {name for name in losses if name.startswith('loss_')} == expected | masks


def test_a_cascade_passes_part_of_the_gradient_to_the_features():
  detector, variables, *_ = built('detectron2 cascade')
  batch = make_batch()

  def grown(scale):
    cascade = dataclasses.replace(detector.cascade, feature_gradient=scale)
    changed = dataclasses.replace(detector, cascade=cascade)

    def box_loss(params):
      losses = forward.loss(changed, variables | {'params': params}, batch, jax.random.key(1))[0]
      return losses['loss_class_0']

    return quick_jit(jax.grad(box_loss))(variables['params'])

  third, whole = grown(1 / 3), grown(1.0)
  np.testing.assert_allclose(
    third['neck']['output2']['kernel'], whole['neck']['output2']['kernel'] / 3, rtol=1e-4, atol=1e-8
  )
  np.testing.assert_allclose(third['box_head0']['fc0']['kernel'], whole['box_head0']['fc0']['kernel'], rtol=1e-5)


def test_fast_rcnn_says_that_it_wants_proposals():
  detector, variables, *_ = built('fast r-cnn')
  with pytest.raises(ValueError, match='the batch must bring proposals'):
    forward.predict(detector, variables, make_batch())


def test_a_dilated_stage_keeps_the_size_and_the_weights():
  detector, variables, *_ = built('dc5')
  plain = detector.networks['backbone'].clone(dilate_last=False)
  own = {collection: value['backbone'] for collection, value in variables.items() if 'backbone' in value}
  images = jax.random.normal(jax.random.key(0), (1, 64, 96, 3))
  dilated = detector.networks['backbone'].apply(own, images, train=False)
  assert dilated[5].shape[1:3] == dilated[4].shape[1:3] == (4, 6)
  assert plain.apply(own, images, train=False)[5].shape[1:3] == (2, 3)


def test_a_class_loss_keeps_its_state_where_batch_norms_do():
  detector, variables, *_ = built('seesaw')
  batch = make_batch()
  assert variables['params']['box_head']['logits']['kernel'].shape[-1] == CLASSES + 2
  _, state = quick_jit(functools.partial(forward.loss, detector))(variables, batch, jax.random.key(1))
  before, after = (x['batch_stats']['class_loss']['samples'] for x in (variables, state))
  assert not before.any() and after.sum() > 0


def test_a_cascade_has_no_deformable_pooling():
  config = small_config().copy_and_resolve_references().model
  cascade(config, 'mmdet')
  deformable_pooling(config)
  with pytest.raises(ValueError, match='deformable pooling belongs to one stage'):
    build_detector(config, CLASSES)
