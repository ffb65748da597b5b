"""Initialises a detector: traces a training step and initialises every network that it calls."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.models.forward import Detector, Variables, name_number
from jaxdet.structures import Batch, InstanceMasks, Objects, Proposals

SIDE = 64  # pixels of the canvas; no shape of a variable depends on it


class Initialize:
  """Makes a network's variables at its first call, and runs it with them."""

  def __init__(self, networks, key: Array):
    self._networks, self._key = networks, key
    self.called: set[str] = set()
    self.variables: Variables = {'params': {}, 'constants': {}, 'batch_stats': {}}

  def __call__(self, network: str, *args) -> Any:
    if network in self.called:
      made = {name: tree[network] for name, tree in self.variables.items() if network in tree}
      return self._networks[network].apply(made, *args, train=False)
    self.called.add(network)
    key = jax.random.fold_in(self._key, name_number(network))
    out, created = self._networks[network].init_with_output(key, *args, train=False)
    for collection, value in created.items():
      self.variables[collection][network] = value
    return out

  def on_valid_rows(self, network: str, valid: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    return self(network, *rows)

  def step(self, name: str, function: Callable, *args, gradient: int) -> Any:
    return function(*args)

  def state(self, name: str, initial: Callable[[], Variables]) -> Variables:
    if (state := initial()) and name not in self.variables['batch_stats']:
      self.variables['batch_stats'][name] = state
    return state

  def update_state(self, name: str, state: Variables) -> None:
    pass


def initialize(detector: Detector, key: Array) -> Variables:
  """Random variables {'params': .., 'constants': .., 'batch_stats': ..}, nested by network.

  `jax.eval_shape` of it gives names and shapes without computing anything; under `jax.jit` only the random numbers
  are computed.

  Raises:
    ValueError: a network that no training step calls.
  """
  call = Initialize(detector.networks, key)
  detector.loss(call, example_batch(), key)
  if idle := sorted(set(detector.networks) - call.called):
    raise ValueError(f'the networks {", ".join(idle)} of {type(detector).__name__} are never called in training')
  return call.variables


def example_batch() -> Batch:
  """A batch of one black image with two proposals and one object with every kind of annotation."""
  size = jnp.full((1, 2), SIDE, jnp.int32)
  box = jnp.full((1, 1, 4), jnp.array([8.0, 8.0, 40.0, 40.0]))
  masks = InstanceMasks(bits=jnp.zeros((1, 1, 8, 1), jnp.uint8), windows=box)
  objects = Objects(boxes=box, labels=jnp.zeros((1, 1), jnp.int32), valid=jnp.ones((1, 1), bool), masks=masks)
  return Batch(
    image=jnp.zeros((1, SIDE, SIDE, 3), jnp.uint8),
    image_size=size,
    original_size=size,
    index=jnp.zeros(1, jnp.int32),
    valid=jnp.ones(1, bool),
    objects=objects,
    proposals=Proposals(jnp.tile(box, (1, 2, 1)), jnp.zeros((1, 2)), jnp.ones((1, 2), bool)),
    semantic=jnp.zeros((1, SIDE, SIDE), jnp.int32),
  )


def variable_shapes(detector: Detector) -> Variables:
  """Shapes and dtypes of a detector's variables, without computing anything."""
  return jax.eval_shape(functools.partial(initialize, detector), jax.random.key(0))
