"""CornerNet on a narrow hourglass: maps, pairs of corners by hand, losses, what learns, names, and detections."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from jaxdet.configuration import load_config
from jaxdet.convert.frameworks import detector_rules, shapes
from jaxdet.convert.rules import export_state, import_state
from jaxdet.models import forward
from jaxdet.models.backbones.hourglass import Hourglass
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from small_cornernet import CONFIG, small_model
from small_detector import CLASSES, make_batch, with_valid

SIDE = 64

# Most of the time goes into compiling.
quick_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache
def small_detector():
  return build_detector(small_model(), CLASSES)


@functools.cache
def initial():
  return quick_jit(functools.partial(initialize, small_detector()))(jax.random.key(0))


@functools.cache
def gradient():
  def total(params, stats, batch):
    variables = initial() | {'params': params, 'batch_stats': stats}
    losses, moved = forward.loss(small_detector(), variables, batch, jax.random.key(1))
    return sum(losses.values()), (losses, moved['batch_stats'])

  return quick_jit(jax.grad(total, has_aux=True))


def square_batch(objects: int = 5):
  """Two images that fill a canvas of 64 x 64 pixels, three objects each, room for `objects`."""
  batch = make_batch(objects, canvas=(SIDE, SIDE + 16))
  sizes = np.full((2, 2), SIDE, np.int32)
  image = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
  boxes = np.zeros((2, objects, 4), np.float32)
  boxes[0, :3] = [[40, 2, 62, 13], [14, 15, 34, 33], [5, 30, 52, 59]]
  boxes[1, :3] = [[22, 34, 36, 61], [2, 3, 30, 31], [41, 8, 63, 54]]
  return batch.replace(
    image=image, image_size=sizes, original_size=sizes, objects=batch.objects.replace(boxes=boxes, masks=None)
  )


def test_both_stacks_have_maps_of_a_quarter_of_the_image():
  model = load_config(CONFIG).unlock().model
  detector = build_detector(model, 80)
  image = jax.ShapeDtypeStruct((1, 511, 511, 3), jnp.float32)
  features, variables = jax.eval_shape(
    functools.partial(detector.networks['backbone'].init_with_output, train=False), jax.random.key(0), image
  )
  assert {level: maps.shape for level, maps in features.items()} == {0: (1, 128, 128, 256), 1: (1, 128, 128, 256)}
  convolutions = [path for path in flatten_dict(variables['params'], sep='/') if path.endswith('kernel')]
  assert sum('shortcut' not in path for path in convolutions) > 104  # the network's name counts those in a row
  head = detector.networks['head']
  outputs, _ = jax.eval_shape(functools.partial(head.init_with_output, train=False), jax.random.key(0), features)
  channels = {'logits': 80, 'embedding': 1, 'offsets': 2}
  assert {name: maps[1].shape for name, maps in outputs.items()} == {
    f'{corner}_{name}': (1, 128, 128, count)
    for corner in ('top_left', 'bottom_right')
    for name, count in channels.items()
  }


def test_parts_that_are_held_fixed_keep_their_statistics():
  net = Hourglass(1, (4, 4), (1, 1), 4, 'sync_bn', frozen=('^backbone/(stem|stack0)',))
  image = jnp.ones((1, 16, 16, 3)).at[0, 3, 3].set(7.0)
  variables = net.init(jax.random.key(0), image, train=False)
  _, moved = net.apply(variables, image, train=True, mutable=['batch_stats'])
  before, after = (flatten_dict(x['batch_stats'], sep='/') for x in (variables, moved))
  changed = {path.partition('/')[0] for path in after if (after[path] != before[path]).any()}
  assert changed == {'output0_norm'}


def test_names_are_mmdetections_and_what_is_exported_comes_back():
  model = small_model()
  like, rules = shapes(model), detector_rules('mmdet', model)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.random(s.shape, np.float32), like)
  state = export_state(variables, rules)
  names = {
    'backbone.stem.0.conv.weight': (8, 3, 7, 7),
    'backbone.stem.1.0.downsample.1.running_var': (16,),
    'backbone.hourglass_modules.1.up1.0.conv1.weight': (16, 16, 3, 3),
    'backbone.hourglass_modules.0.low2.low1.0.conv1.weight': (24, 16, 3, 3),
    'backbone.hourglass_modules.0.low2.low2.1.bn2.bias': (24,),
    'backbone.hourglass_modules.0.low2.low3.0.downsample.0.weight': (16, 24, 1, 1),
    'backbone.inters.0.conv2.weight': (16, 16, 3, 3),
    'backbone.conv1x1s.0.bn.weight': (16,),
    'backbone.remap_convs.0.conv.weight': (16, 16, 1, 1),
    'backbone.out_convs.1.conv.weight': (16, 16, 3, 3),
    'bbox_head.tl_pool.1.direction2_conv.conv.weight': (8, 16, 3, 3),
    'bbox_head.br_pool.0.aftpool_conv.bn.running_mean': (16,),
    'bbox_head.br_heat.1.0.conv.bias': (16,),
    'bbox_head.tl_emb.0.1.conv.weight': (1, 16, 1, 1),
    'bbox_head.br_off.1.1.conv.bias': (2,),
  }
  assert {name: state[name].shape for name in names} == names
  again, report = import_state(state, like, rules)
  report.check()
  jax.tree.map(np.testing.assert_array_equal, again, variables)


def maps_of(corners, shape=(16, 16), **outputs):
  """Maps without a corner but these: (kind, y, x, class, score, embedding, offset x, offset y)."""
  maps = {
    f'{kind}_{name}': np.full((*shape, count), value, np.float32)
    for kind in ('top_left', 'bottom_right')
    for name, count, value in (('logits', CLASSES, -20.0), ('embedding', 1, 0.0), ('offsets', 2, 0.0))
  }
  for kind, y, x, label, score, embedding, *offset in corners:
    maps[f'{kind}_logits'][y, x, label] = np.log(score / (1 - score))
    maps[f'{kind}_embedding'][y, x] = embedding
    maps[f'{kind}_offsets'][y, x] = offset or (0, 0)
  return jax.tree.map(jnp.asarray, maps)


def pairs_of(corners, canvas=(64, 64), size=(64, 64), margin=0, shape=(16, 16)):
  """(box, score, class) of every pair."""
  model = small_model()
  model.test.margin = margin
  method = build_detector(model, CLASSES).method
  found = method.pairs(maps_of(corners, shape), jnp.array(size), canvas)
  keep = np.asarray(found.valid) & (np.asarray(found.scores) > 0.5)  # both are corners
  return [
    ([round(float(x), 3) for x in box], round(float(score), 3), int(label))
    for box, score, label in zip(found.boxes[keep], found.scores[keep], found.labels[keep], strict=True)
  ]


def test_alike_corners_of_a_class_are_boxes():
  first = ('top_left', 2, 3, 1, 0.8, 1.0, 0.5, 0.25)
  assert pairs_of([first, ('bottom_right', 6, 9, 1, 0.6, 1.4, 0.0, 0.5)]) == [([14, 9, 36, 26], 0.7, 1)]
  assert pairs_of([first, ('bottom_right', 6, 9, 1, 0.6, 1.6)]) == []  # of another object
  assert pairs_of([first, ('bottom_right', 6, 9, 2, 0.6, 1.0)]) == []  # of another class
  assert pairs_of([first, ('bottom_right', 6, 2, 1, 0.6, 1.0)]) == []  # to the left
  assert pairs_of([first, ('bottom_right', 1, 9, 1, 0.6, 1.0)]) == []  # above


def test_the_best_of_a_class_among_its_neighbours_is_a_corner():
  end = ('bottom_right', 12, 12, 1, 0.6, 0.0)
  beside = [('top_left', 2, 3, 1, 0.8, 0.0), ('top_left', 3, 4, 1, 0.7, 0.0), ('top_left', 2, 2, 0, 0.9, 0.0)]
  assert pairs_of([*beside, end]) == [([12, 8, 48, 48], 0.7, 1)]
  apart = ('top_left', 4, 3, 1, 0.7, 0.0)
  assert len(pairs_of([beside[0], apart, end])) == 2


def test_a_corner_beyond_the_left_and_the_top_is_on_the_border():
  corners = [('top_left', 0, 0, 1, 0.8, 0.0, -0.5, -0.25), ('bottom_right', 6, 9, 1, 0.6, 0.0)]
  assert pairs_of(corners) == [([0, 0, 36, 24], 0.7, 1)]


def test_detection_sees_images_in_the_middle_of_the_next_multiple_of_128_less_one():
  model = small_model()
  model.test.margin = 127
  method = build_detector(model, CLASSES).method
  sizes = jnp.array([[80, 100], [130, 255], [200, 250]])
  images = (jnp.arange(255) < sizes[:, :1])[:, :, None, None] & (jnp.arange(255) < sizes[:, 1:])[:, None, :, None]
  placed = np.asarray(method.place(images.astype(jnp.float32), sizes))[..., 0]
  for image, (height, width), (y, x) in zip(placed, sizes.tolist(), [(23, 13), (62, 0), (27, 2)], strict=True):
    assert image[y : y + height, x : x + width].all() and image.sum() == height * width


def test_boxes_are_in_pixels_of_the_image_wherever_it_lies():
  # An image of 80 x 100 lies at (23, 13) of 127 x 127 pixels, which are 32 cells; the canvas has 64.
  corners = [('top_left', 8, 5, 1, 0.8, 0.0), ('bottom_right', 20, 25, 1, 0.6, 0.0)]
  beyond = [('bottom_right', 40, 25, 1, 0.9, 0.0)]
  [(box, score, _)] = pairs_of([*corners, *beyond], (255, 255), (80, 100), margin=127, shape=(64, 64))
  stride = 127 / 32
  np.testing.assert_allclose(box, [5 * stride - 13, 8 * stride - 23, 25 * stride - 13, 20 * stride - 23], atol=1e-3)
  assert score == 0.7


def losses_by_name(batch):
  variables = initial()
  _, (losses, _) = gradient()(variables['params'], variables['batch_stats'], batch)
  return {name: float(value) for name, value in losses.items()}


def test_every_array_of_every_network_learns():
  gradients, (losses, _) = gradient()(initial()['params'], initial()['batch_stats'], square_batch())
  assert set(losses) == {'loss_corners', 'loss_offsets', 'loss_pull', 'loss_push'}
  assert all(np.isfinite(value) and value > 0 for value in losses.values())
  for path, array in flatten_dict(gradients, sep='/').items():
    assert np.isfinite(array).all() and np.abs(array).max() > 0, path


def test_rows_without_an_object_mean_nothing_and_without_objects_heat_alone_is_learned():
  batch = square_batch()
  losses = losses_by_name(batch)
  boxes, labels = batch.objects.boxes.copy(), batch.objects.labels.copy()
  boxes[:, 3:], labels[:, 3:] = [7, 9, 33, 60], 2
  other = batch.replace(objects=batch.objects.replace(boxes=boxes, labels=labels))
  np.testing.assert_allclose(list(losses_by_name(other).values()), list(losses.values()), rtol=1e-6)
  empty = losses_by_name(with_valid(batch, np.zeros_like(batch.objects.valid)))
  assert empty['loss_corners'] > 0 and empty['loss_offsets'] == empty['loss_pull'] == empty['loss_push'] == 0


def test_detections_lie_on_the_image_best_first():
  model = small_model()
  model.test.update(clip=True, distance_threshold=100.0)  # corners of new networks are not alike
  detector = build_detector(model, CLASSES)
  found = quick_jit(functools.partial(forward.predict, detector))(initial(), square_batch())
  boxes, valid = np.asarray(found.boxes), np.asarray(found.valid)
  assert valid.any() and (np.asarray(found.labels)[valid] < CLASSES).all()
  assert (boxes[valid] >= 0).all() and (boxes[valid] <= SIDE).all()
  assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()
  assert (np.diff(np.where(valid, found.scores, 0)) <= 1e-6).all()


def test_two_images_are_learned_by_heart():
  batch, optimizer = square_batch(), optax.adam(5e-3)
  params, stats = initial()['params'], initial()['batch_stats']
  state, losses = optimizer.init(params), []

  @quick_jit
  def update(gradients, params, state):
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, updates), state

  for _ in range(150):
    gradients, (of_step, stats) = gradient()(params, stats, batch)
    params, state = update(gradients, params, state)
    losses.append(float(sum(of_step.values())))
  assert losses[-1] < losses[0] / 20
  variables = initial() | {'params': params, 'batch_stats': stats}
  found = quick_jit(functools.partial(forward.predict, small_detector()))(variables, batch)
  for i in range(2):
    order = np.argsort(found.labels[i, :3])
    np.testing.assert_allclose(found.boxes[i, :3][order], batch.objects.boxes[i, :3], atol=2)
    assert found.labels[i, :3][order].tolist() == batch.objects.labels[i, :3].tolist()


@pytest.mark.parametrize('name', ['cornernet', 'cornernet:mirror=true'])
def test_recipes_make_detectors(name):
  model = load_config(CONFIG.replace('cornernet.py', f'cornernet.py{name.removeprefix("cornernet")}')).unlock().model
  assert set(build_detector(model, 80).networks) == {'backbone', 'neck', 'head'}
