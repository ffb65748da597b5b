"""Panoptic FPN and its semantic head alone, on networks small enough to compile in seconds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.parts import pyramid_tasks
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.dense_heads.semantic_fpn_head import SemanticFPNHead
from jaxdet.models.initialize import initialize
from jaxdet.ops.semantic_map import semantic_classes
from small_detector import CLASSES, make_batch, small_config

STUFF = 4  # classes of the semantic maps, things among them
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def make_semantic_batch():
  """The batch of small_detector with quarters of four classes, objects in class 0, and rows that do not count."""
  batch = make_batch()
  semantic = np.full((2, 64, 96), -1, np.int32)
  y, x = np.indices((56, 80))
  semantic[:, :56, :80] = 1 + (x > 40) + (y > 30)
  for x1, y1, x2, y2 in batch.objects.boxes[0].astype(int):
    semantic[:, y1:y2, x1:x2] = 0
  semantic[:, :4] = -1
  return batch.replace(semantic=semantic)


@functools.cache
def built(name: str):
  """(detector, variables, jitted gradients and losses, jitted predict) of 'two_stage' or 'pyramid_network'."""
  config = small_config().copy_and_resolve_references()
  config.model.name = name
  if name == 'two_stage':
    config.model.frozen = ('^backbone/',)  # its backward pass is that of the semantic head alone
  config.model.pyramid_tasks = pyramid_tasks.semantic_fpn(num_classes=STUFF, loss_weight=0.5)
  config.model.pyramid_tasks.semantic.network.channels = 16
  detector = build_detector(config.model, CLASSES)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))

  def total(params, batch):
    losses, _ = forward.loss(detector, variables | {'params': params}, batch, jax.random.key(1))
    return sum(value for name, value in losses.items() if name.startswith('loss_')), losses

  predict = quick_jit(functools.partial(forward.predict, detector))
  return detector, variables, quick_jit(jax.grad(total, has_aux=True)), predict


def test_losses_of_instances_and_pixels_are_finite_and_reach_every_array_of_the_head():
  _, variables, gradient, _ = built('two_stage')
  gradients, losses = gradient(variables['params'], make_semantic_batch())
  assert {'loss_semantic', 'loss_mask', 'loss_class', 'loss_box'} <= set(losses)
  assert all(np.isfinite(value) for value in losses.values())
  for path, g in jax.tree_util.tree_leaves_with_path(gradients['semantic_head']):
    assert np.isfinite(g).all() and jnp.abs(g).max() > 0, jax.tree_util.keystr(path)


def test_the_loss_is_weighed_and_of_pixels_that_count_alone():
  _, variables, gradient, _ = built('pyramid_network')
  batch = make_semantic_batch()
  batch.image[:, 56:], batch.image[:, :, 80:] = 255, 255  # beside the images
  _, losses = gradient(variables['params'], batch)
  _, expected = gradient(variables['params'], make_semantic_batch())
  assert losses['loss_semantic'] == expected['loss_semantic'] > 0
  nothing = batch.replace(semantic=np.full_like(batch.semantic, -1))
  gradients, losses = gradient(variables['params'], nothing)
  assert losses['loss_semantic'] == 0 and not any(g.any() for g in jax.tree.leaves(gradients))


def test_detections_come_with_logits_on_a_grid_of_stride_4_which_alone_are_the_same():
  _, variables, _, predict = built('two_stage')
  found = predict(variables, make_semantic_batch())
  assert found.semantic.shape == (2, 16, 24, STUFF) and found.semantic.dtype == np.float32
  assert found.valid.any() and found.masks is not None
  boxes = np.asarray(found.boxes)[np.asarray(found.valid)]
  assert (boxes >= 0).all() and (boxes <= [80, 56, 80, 56]).all()
  _, _, _, predict_alone = built('pyramid_network')
  networks = ('backbone', 'neck', 'semantic_head')
  alone = {
    collection: {name: x for name, x in tree.items() if name in networks} for collection, tree in variables.items()
  }
  np.testing.assert_allclose(predict_alone(alone, make_semantic_batch()).semantic, found.semantic, atol=1e-4)


def test_a_batch_without_semantic_maps_is_refused():
  detector, variables, _, _ = built('pyramid_network')
  with pytest.raises(ValueError, match='which the batch lacks: give the data set its semantic maps'):
    jax.eval_shape(functools.partial(forward.loss, detector), variables, make_batch(), jax.random.key(0))


def test_a_head_convolves_and_doubles_every_level_up_to_the_finest():
  head = SemanticFPNHead(num_classes=7, levels=(3, 4, 5), channels=8)
  features = {level: jnp.zeros((1, 64 >> level, 96 >> level, 6)) for level in range(2, 7)}
  logits, variables = jax.eval_shape(head.init_with_output, jax.random.key(0), features)
  assert logits.shape == (1, 8, 12, 7)
  convs = {name for name in variables['params'] if name.endswith(tuple('0123')) and 'norm' not in name}
  assert convs == {'level3_conv0', 'level4_conv0', 'level5_conv0', 'level5_conv1'}


@pytest.mark.slow
def test_two_images_are_learned_by_heart():
  detector, variables, _, predict = built('pyramid_network')
  batch = make_semantic_batch()
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(params, state):
    def loss(params):
      return forward.loss(detector, variables | {'params': params}, batch, jax.random.key(0))[0]['loss_semantic']

    value, grads = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, value

  params, state = variables['params'], optimizer.init(variables['params'])
  for _ in range(100):
    params, state, value = step(params, state)
  logits = np.asarray(predict(variables | {'params': params}, batch).semantic)
  right = []
  for image in range(2):
    classes = semantic_classes(logits[image], (64, 96), (56, 80), (56, 80))
    counts = batch.semantic[image, :56, :80] >= 0
    right.append((classes == batch.semantic[image, :56, :80])[counts].mean())
  assert value < 0.1 and min(right) > 0.95
