"""A detector's networks with their variables, called by name."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

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
    variables = {collection: value[network] for collection, value in self._variables.items() if network in value}
    mutable = ['batch_stats'] if self._train else []
    rngs = {}
    if self._dropout is not None:
      rngs['dropout'] = jax.random.fold_in(self._dropout, list(self._networks).index(network))
    out, moved = self._networks[network].apply(variables, *args, train=self._train, mutable=mutable, rngs=rngs)
    if moved.get('batch_stats'):
      self._moved[network] = moved['batch_stats']
    return out

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
