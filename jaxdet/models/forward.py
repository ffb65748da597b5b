"""The forward pass, owned by its caller: a detector calls its networks in order through a `Call`.

A detector is pure and refers to networks by name. The caller chooses what a call does: `Apply` runs the networks with
given variables, `Initialize` makes their variables, `Record` keeps every call, `Replay` returns recorded results
(models/recording.py). So initialisation, training, prediction, comparison with upstream and benchmarks all run the
same code of the detector.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from jaxdet.ops.occupied_rows import map_occupied
from jaxdet.ops.on_each_device import on_each_device
from jaxdet.sharding import active_data_mesh
from jaxdet.structures import Batch, Detections

Variables = dict[str, Any]  # nested as variables[collection][network][...]
Losses = dict[str, Float[Array, '']]


class Call(Protocol):
  """Runs the parts of a detector by name."""

  def __call__(self, network: str, *args) -> Any:
    """Runs a network on its arguments."""

  def on_valid_rows(self, network: str, valid: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    """Runs a network that treats rows [B, R, ...] independently; padded rows may be skipped and give zeros.

    Valid rows should come first. No row is skipped if the network has batch statistics.
    """

  def step(self, name: str, function: Callable, *args, gradient: int) -> Any:
    """Runs a pure function between networks, under a name for profiles and records.

    Args:
      name: of the step.
      function: of arrays, or trees of them.
      args: its arguments.
      gradient: number of leading arguments with a gradient; the others are constants.
    """

  def state(self, name: str, initial: Callable[[], Variables]) -> Variables:
    """Arrays that a loss keeps from step to step; {} if `initial` returns {}."""

  def update_state(self, name: str, state: Variables) -> None:
    """Sets the arrays kept under this name; without gradient."""


class Detector(Protocol):
  """A detector: networks by name, and the order in which they are called."""

  networks: Mapping[str, nn.Module]

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """Losses by name; names with `loss_` are summed and differentiated, the other values are for the log."""

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Detections in pixels of the resized image."""


class Apply:
  """Runs the networks with these variables; collects the updated batch statistics."""

  def __init__(
    self, networks: Mapping[str, nn.Module], variables: Variables, train: bool, dropout: Array | None = None
  ):
    """`dropout` is the random key of networks with dropout; not needed if its rate is 0."""
    self._networks, self._variables, self._train, self._dropout = networks, variables, train, dropout
    self._moved: Variables = {}

  def __call__(self, network: str, *args) -> Any:
    mutable = ['batch_stats'] if self._train else []
    rngs = {} if self._dropout is None else {'dropout': jax.random.fold_in(self._dropout, name_number(network))}
    variables = self._of(network)
    out, moved = self._networks[network].apply(variables, *args, train=self._train, mutable=mutable, rngs=rngs)
    if moved.get('batch_stats'):
      self._moved[network] = moved['batch_stats']
    return out

  def on_valid_rows(self, network: str, valid: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    variables = self._of(network)
    if self._train and 'batch_stats' in variables:
      return self(network, *rows)

    def over_images(variables, valid, *rows):
      apply = partial(self._networks[network].apply, variables, train=self._train)
      return map_occupied(apply, valid, *rows)

    return on_each_device(over_images, active_data_mesh(), shared=1)(variables, valid, *rows)

  def step(self, name: str, function: Callable, *args, gradient: int) -> Any:
    del name  # functions have scopes of their own
    return function(*args[:gradient], *jax.lax.stop_gradient(args[gradient:]))

  def state(self, name: str, initial: Callable[[], Variables]) -> Variables:
    del initial
    return self._variables.get('batch_stats', {}).get(name, {})

  def update_state(self, name: str, state: Variables) -> None:
    if state:
      self._moved[name] = jax.lax.stop_gradient(state)

  @property
  def new_state(self) -> Variables:
    """Updated {'batch_stats': ..} of networks and losses in training; {} if there are none."""
    return {'batch_stats': self._moved} if self._moved else {}

  def _of(self, network: str) -> Variables:
    return {collection: value[network] for collection, value in self._variables.items() if network in value}


def loss(detector: Detector, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
  """Losses of a training step, and the new `batch_stats` ({} if there are none).

  Args:
    detector: the detector to train.
    variables: {'params': .., 'constants': .., 'batch_stats': ..}.
    batch: B images with ground truth.
    key: random key of the step; an image's own key depends only on its position in the batch.
  """
  call = Apply(detector.networks, variables, train=True, dropout=jax.random.fold_in(key, name_number('dropout')))
  return detector.loss(call, batch, key), call.new_state


def predict(detector: Detector, variables: Variables, batch: Batch) -> Detections:
  """Detections in pixels of the resized image."""
  return detector.predict(Apply(detector.networks, variables, train=False), batch)


def name_number(name: str) -> int:
  """Hashes a name to a number below 2**32, for random keys that do not depend on the order of calls."""
  return zlib.crc32(name.encode())
