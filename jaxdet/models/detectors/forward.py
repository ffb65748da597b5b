"""A detector's networks with their variables, called by name."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from jaxdet.ops.occupied_rows import map_occupied
from jaxdet.ops.on_each_device import cut_mesh, on_each_device

Variables = dict[str, Any]  # nested as variables[collection][network][...]
Losses = dict[str, Float[Array, '']]


class Forward:
  """A detector's networks with variables, to be called by name; collects the batch statistics that training moves."""

  def __init__(
    self, networks: Mapping[str, nn.Module], variables: Variables, train: bool, dropout: Array | None = None
  ):
    """`dropout` is the random key of networks that have dropout; not needed where its rate is 0."""
    self._networks, self._variables, self._train, self._dropout = networks, variables, train, dropout
    self._moved: Variables = {}

  def __call__(self, network: str, *args):
    variables = self._of(network)
    mutable = ['batch_stats'] if self._train else []
    rngs = {}
    if self._dropout is not None:
      rngs['dropout'] = jax.random.fold_in(self._dropout, list(self._networks).index(network))
    out, moved = self._networks[network].apply(variables, *args, train=self._train, mutable=mutable, rngs=rngs)
    if moved.get('batch_stats'):
      self._moved[network] = moved['batch_stats']
    return out

  def of_occupied(self, network: str, occupied: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    """`self(network, *rows)` where rows are occupied; the others may be left out, and are then zeros.

    None are where the network's statistics are taken over all rows.

    Args:
      network: one that sees each of its rows alone, [B, R, ...].
      occupied: rows that matter, which should come first.
      rows: its arguments.
    """
    variables = self._of(network)
    if self._train and 'batch_stats' in variables:
      return self(network, *rows)

    def over_images(variables, occupied, *rows):
      apply = partial(self._networks[network].apply, variables, train=self._train)
      return map_occupied(apply, occupied, *rows)

    return on_each_device(over_images, cut_mesh(), shared=1)(variables, occupied, *rows)

  def _of(self, network: str) -> Variables:
    return {collection: value[network] for collection, value in self._variables.items() if network in value}

  def state(self, name: str) -> Variables:
    """What training keeps under this name besides the networks' own statistics; {} where there is none."""
    return self._variables.get('batch_stats', {}).get(name, {})

  def move(self, name: str, state: Variables) -> None:
    """Sets what is kept under this name."""
    if state:
      self._moved[name] = state

  @property
  def new_state(self) -> Variables:
    """{'batch_stats': ..} of all that has some, in training; else {}."""
    return {'batch_stats': self._moved} if self._moved else {}
