"""Records and replays the calls of a detector, for comparison with upstream and for benchmarks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from jaxdet.models.forward import Apply, Variables


@dataclasses.dataclass
class Recorded:
  """One call of a network, or one step between networks."""

  name: str
  arguments: tuple  # for a network called on valid rows `valid` comes first
  result: Any
  function: Callable | None  # of a step; None: a network
  gradient: int  # number of leading arguments with a gradient; all for a network
  valid_rows: bool = False  # the network was called on valid rows


class Record(Apply):
  """Runs as `Apply` and keeps every call in order; steps can be replaced by other functions.

  Inputs and results of the submodules named by `layers` are kept too.
  """

  def __init__(
    self,
    networks: Mapping[str, nn.Module],
    variables: Variables,
    train: bool = False,
    dropout: Array | None = None,
    layers: Sequence[str] = (),
    instead: Mapping[str, Callable] | None = None,
  ):
    """`instead`: functions that replace steps, by the steps' names."""
    super().__init__(networks, variables, train, dropout)
    self._watched, self._instead = layers, instead or {}
    self.calls: list[Recorded] = []
    self.layers: dict[tuple[str, str], tuple[Any, Any]] = {}  # by network and layer: (first argument, result)

  def __call__(self, network: str, *args) -> Any:
    def watch(function, args, kwargs, context):
      out = function(*args, **kwargs)
      if context.method_name == '__call__' and context.module.name in self._watched:
        self.layers[network, context.module.name] = args[0], out
      return out

    with nn.intercept_methods(watch):
      result = super().__call__(network, *args)
    self.calls.append(Recorded(network, args, result, None, len(args)))
    return result

  def on_valid_rows(self, network: str, valid: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    before = len(self.calls)
    result = super().on_valid_rows(network, valid, *rows)
    del self.calls[before:]  # with all rows computed, Apply makes a plain call, which was recorded already
    self.calls.append(Recorded(network, (valid, *rows), result, None, 1 + len(rows), valid_rows=True))
    return result

  def step(self, name: str, function: Callable, *args, gradient: int) -> Any:
    function = self._instead.get(name, function)
    result = super().step(name, function, *args, gradient=gradient)
    self.calls.append(Recorded(name, args, result, function, gradient))
    return result

  def of(self, name: str) -> list[Recorded]:
    """The calls of this name, in order."""
    return [call for call in self.calls if call.name == name]

  def result(self, name: str) -> Any:
    """The result of the only call of this name."""
    [call] = self.of(name)
    return call.result


class Replay:
  """Returns the results of recorded calls, in the same order; runs nothing."""

  def __init__(self, results: Sequence, states: Variables):
    """`states`: the losses' entries of `batch_stats`."""
    self._results, self._states = iter(results), states

  def __call__(self, network: str, *args) -> Any:
    return next(self._results)

  def on_valid_rows(self, network: str, valid: Bool[Array, 'B R'], *rows: Array) -> Float[Array, 'B R ...']:
    return next(self._results)

  def step(self, name: str, function: Callable, *args, gradient: int) -> Any:
    return next(self._results)

  def state(self, name: str, initial: Callable[[], Variables]) -> Variables:
    return self._states.get(name, {})

  def update_state(self, name: str, state: Variables) -> None:
    pass
