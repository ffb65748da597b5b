"""Rematerialisation changes what the backward pass keeps, and nothing else."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.backbones.resnet import ResNet
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import variable_shapes
from jaxdet.models.transformers.cells import cells_of
from jaxdet.models.transformers.deformable import DeformableEncoder
from jaxdet.models.transformers.detr import DetrDecoder
from small_detector import small_config

QUICK = {'xla_backend_optimization_level': 0}  # most of the time goes into compiling
LAYERS = {'layers': 1, 'heads': 2, 'feed_forward': 16, 'dropout': 0.5}
NETWORKS = {
  'resnet': ResNet(18, norm='sync_bn', stem_width=4, num_stages=2, frozen=('^backbone/stem/',)),
  'detr decoder': DetrDecoder(queries=6, num_logits=3, **LAYERS),
  'deformable encoder': DeformableEncoder(points=2, **LAYERS),
}


def inputs_of(name):
  """What the network is called with."""
  if name == 'resnet':
    return (jax.random.normal(jax.random.key(0), (2, 64, 64, 3)),)
  features = jax.random.normal(jax.random.key(0), (1, 4, 6, 8))
  cells = cells_of({4: features}, jnp.array([[64, 96]]), (64, 96), 0.0)
  return (*cells, None) if name == 'deformable decoder' else cells


def shapes_of(network, inputs):
  return jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs, train=False))


def make_loss(network, inputs, variables):
  """The sum of squares of what a network makes, with its new statistics; of its parameters."""

  def loss(params):
    rngs = {'dropout': jax.random.key(1)}
    out, moved = network.apply({**variables, 'params': params}, *inputs, train=True, mutable=['batch_stats'], rngs=rngs)
    return sum(jnp.square(x).sum() for x in jax.tree.leaves(out)), moved

  return loss


@pytest.mark.parametrize('name', NETWORKS)
def test_losses_statistics_and_gradients_are_the_same_and_less_is_kept(name):
  network, inputs = NETWORKS[name], inputs_of(name)
  shapes = shapes_of(network, inputs)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda x: np.abs(rng.normal(0.1, 0.1, x.shape)).astype(np.float32), shapes)
  found, kept = {}, {}
  for remat in ('', 'blocks'):
    other = dataclasses.replace(network, remat=remat)
    assert jax.tree.structure(shapes_of(other, inputs)) == jax.tree.structure(shapes)
    loss = make_loss(other, inputs, variables)
    found[remat] = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)(variables['params'])
    _, pull, _ = jax.eval_shape(lambda params, loss=loss: jax.vjp(loss, params, has_aux=True), variables['params'])
    kept[remat] = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(pull))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), found[''], found['blocks'])
  assert kept['blocks'] < 0.6 * kept[''], kept


def test_a_config_says_so_and_an_unknown_kind_is_an_error():
  config = small_config().copy_and_resolve_references()
  config.model.remat = 'blocks'
  assert build_detector(config.model, 5).networks['backbone'].remat == 'blocks'
  config.model.remat = 'everything'
  with pytest.raises(ValueError, match="unknown model.remat 'everything': choose one of '', 'blocks'"):
    variable_shapes(build_detector(config.model, 5))
