"""Query detectors as a whole, on networks small enough to compile in seconds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.detectors.deformable_detr import cell_boxes
from jaxdet.models.forward import Apply
from jaxdet.models.transformers.cells import cells_of, on_image, sine_encoding
from jaxdet.models.transformers.detr import DetrEncoder
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer
from parity_kit import case
from small_detector import CLASSES, make_batch, with_valid
from small_query import random_variables, small_config


@functools.cache
def detector(variant):
  config = small_config(variant)
  with config.model.class_counts.ignore_type():
    config.model.class_counts.images = tuple(range(1, CLASSES + 1))
  return build_detector(config.model, CLASSES)


@functools.cache
def variables(variant):
  return random_variables(detector(variant))


@functools.cache
def loss(variant):
  return jax.jit(lambda variables, batch, key: forward.loss(detector(variant), variables, batch, key)[0])


@pytest.mark.parametrize('variant', ['detr', 'federated'])
def test_every_layer_has_three_losses_and_rows_without_objects_change_none(variant):
  batch = make_batch(12)
  boxes, labels = batch.objects.boxes.copy(), batch.objects.labels.copy()
  boxes[:, 3:], labels[:, 3:] = [8, 8, 70, 50], 2
  soiled = batch.replace(objects=batch.objects.replace(boxes=boxes, labels=labels))
  clean, same = (loss(variant)(variables(variant), b, jax.random.key(1)) for b in (batch, soiled))
  names = {f'loss_{kind}{end}' for kind in ('class', 'box', 'giou') for end in ('', '_0')}
  if 'proposals' in detector(variant).networks:
    names |= {f'loss_{kind}_proposals' for kind in ('class', 'box', 'giou')}
  assert clean.keys() == names
  for name in names:
    assert clean[name] == same[name] > 0, name
  assert loss(variant)._cache_size() == 1


def test_more_objects_than_queries_and_images_without_any_have_finite_losses():
  batch = make_batch(12)
  batch.objects.boxes[:, 3:] = [4, 4, 24, 24]
  batch = with_valid(batch, np.stack([np.ones(12, bool), np.zeros(12, bool)]))
  crowded = loss('detr')(variables('detr'), batch, jax.random.key(1))
  assert all(np.isfinite(value) for value in crowded.values())
  empty = loss('detr')(variables('detr'), with_valid(batch, np.zeros((2, 12), bool)), jax.random.key(1))
  assert empty['loss_box'] == empty['loss_giou'] == 0
  assert empty['loss_class'] > 0


def test_detections_lie_on_the_image_and_are_sorted_and_pixels_beyond_it_change_nothing():
  predict = jax.jit(lambda batch: forward.predict(detector('detr'), variables('detr'), batch))
  found = predict(make_batch())
  assert found.boxes.shape == (2, 8, 4) and found.valid.all()
  assert (found.boxes >= 0).all() and (found.boxes[..., 2] <= 80).all() and (found.boxes[..., 3] <= 56).all()
  assert (np.diff(found.scores) <= 0).all() and found.labels.max() < CLASSES
  soiled = np.full_like(make_batch().image, 200)
  soiled[:, :56, :80] = make_batch().image[:, :56, :80]
  jax.tree.map(np.testing.assert_array_equal, found, predict(make_batch().replace(image=soiled)))
  assert predict._cache_size() == 1


@pytest.mark.parametrize('variant', ['detr', 'two stages'])
def test_cells_beyond_the_image_change_nothing(variant):
  rng = np.random.default_rng(0)
  call = Apply(detector(variant).networks, variables(variant), train=False)

  @functools.partial(jax.jit, static_argnums=1)
  def transform(pyramid, canvas):
    cells = cells_of(pyramid, jnp.array([[64, 96]]), canvas, -0.5)
    made = detector(variant).transform(call, *cells)
    return made.logits, made.boxes

  levels = detector(variant).settings.neck.levels
  small = {level: rng.normal(size=(1, 128 >> level, 192 >> level, 32)) for level in levels}
  large = {level: rng.normal(size=(1, 256 >> level, 192 >> level, 32)) for level in levels}
  for level, features in small.items():
    large[level][:, : features.shape[1]] = features
  for ours, theirs in zip(transform(small, (128, 192)), transform(large, (256, 192)), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_dropout_is_drawn_from_the_key_and_from_it_alone():
  networks = {'neck': None, 'encoder': DetrEncoder(layers=1, heads=2, feed_forward=8, dropout=0.5)}
  features, cells = cells_of({5: jnp.ones((1, 2, 3, 8))}, jnp.array([[64, 96]]), (64, 96), 0.0)

  @functools.partial(jax.jit, static_argnums=1)
  def encode(seed, train):
    params = networks['encoder'].init(jax.random.key(0), features, cells, train=False)['params']
    call = Apply(networks, {'params': {'encoder': params}}, train, jax.random.key(seed))
    return call('encoder', features, cells)

  assert (encode(0, True) == encode(0, True)).all() and (encode(0, True) != encode(1, True)).any()
  assert (encode(0, False) == encode(1, False)).all()


@pytest.mark.parametrize('variant', ['detr', pytest.param('two stages', marks=pytest.mark.slow)])
def test_four_images_are_learned_by_heart(variant):
  """By all but the backbone, whose backward pass takes longest to compile."""
  batch = make_batch(images=4)
  config = small_config(variant).copy_and_resolve_references()
  config.model.frozen = ('^backbone/',)
  config.train.optimizer.lr_factors = {}
  learner = build_detector(config.model, CLASSES)
  config.train.schedule.update(base_lr=2e-3, base_batch_size=config.train.batch_size, milestones=(10_000,))
  params = variables(variant)['params']
  optimizer = build_optimizer(config, params)
  trained, frozen = freezing.split(params, freezing.trainable(params, config.model.frozen))

  @jax.jit
  def learn(trained):
    def step(carry, key):
      trained, state = carry

      def total(trained):
        params = freezing.merge(trained, frozen)
        return sum(forward.loss(learner, {**variables(variant), 'params': params}, batch, key)[0].values())

      value, grads = jax.value_and_grad(total)(trained)
      updates, state = optimizer.update(grads, state, trained)
      return (optax.apply_updates(trained, updates), state), value

    return jax.lax.scan(step, (trained, optimizer.init(trained)), jax.random.split(jax.random.key(0), 60))[1]

  history = learn(trained)
  assert history[-1] < 0.6 * history[0]


def test_sine_encodings_are_deformable_detrs():
  arrays, _ = case('ops/d2_deform_attn')
  valid = np.zeros((2, 6, 8), bool)
  valid[0], valid[1, :5, :7] = True, True
  encoding = sine_encoding(jnp.asarray(valid), 32, -0.5)
  # On the padding they are sines of millions.
  np.testing.assert_allclose(encoding[valid], np.moveaxis(arrays['sine'], 1, -1)[valid], atol=1e-5)


def test_cells_lie_on_the_image_where_their_nearest_pixel_does():
  assert on_image(jnp.array([33, 32, 0]), 64, 2).tolist() == [[True, True], [True, False], [False, False]]


def test_cells_propose_boxes_round_their_centres_within_the_image():
  pyramid = {3: jnp.zeros((1, 4, 8, 4)), 4: jnp.zeros((1, 2, 4, 4))}
  features, cells = cells_of(pyramid, jnp.array([[32, 32]]), (32, 64), 0.0)
  assert features.shape == (1, 40, 4) and cells.shapes == ((4, 8), (2, 4))
  np.testing.assert_allclose(cells.shares, [[[0.5, 1.0], [0.5, 1.0]]])
  logits, usable = cell_boxes(cells)
  assert usable[0, :32].reshape(4, 8).sum(1).tolist() == [4, 4, 4, 4]
  boxes = jax.nn.sigmoid(logits[0])
  np.testing.assert_allclose(boxes[0], [0.125, 0.125, 0.05, 0.05], rtol=1e-5)
  np.testing.assert_allclose(boxes[33], [0.75, 0.25, 0.1, 0.1], rtol=1e-5)
  assert (boxes[4] == 1).all()
