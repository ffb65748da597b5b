"""Calls inside a detector caught on their way: of its networks, and of the functions between them.

A detector is pure, and calls its networks by name through `Forward`. So whatever its method, its steps can be recorded
with their arguments, run alone, or replaced by what they gave before. Nothing in a detector knows of it.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import jax

from jaxdet.models.detectors import dense, query, rcnn, roi, rpn, set_prediction
from jaxdet.models.detectors.forward import Forward, Variables
from jaxdet.training import freezing


@dataclasses.dataclass(frozen=True)
class Point:
  """A function that detectors call, by its name in the module that looks it up."""

  module: ModuleType
  function: str
  step: str
  gradient: tuple[int, ...]  # positions of the arguments through which a gradient flows in training


POINTS = (
  Point(rpn, 'losses', 'RPN losses', (0, 1)),
  Point(rpn, 'propose', 'proposals', ()),
  Point(roi, 'targets', 'sampling of regions', ()),
  Point(rcnn, 'multilevel_roi_align', 'RoIAlign', (0,)),
  Point(roi, 'mask_loss', 'mask loss', (0,)),
  Point(roi, 'detect', 'detections', ()),
  Point(dense, 'detect', 'detections', ()),
  Point(set_prediction, 'assign_queries', 'assignment', ()),
  Point(query, 'detect', 'detections', ()),
)
FAMILIES = (rcnn, dense, query)  # modules that make a `Forward`


@dataclasses.dataclass
class Call:
  """One call of a step."""

  step: str  # name of the network, or of the point
  function: Callable  # of the arguments that are arrays
  arguments: tuple  # trees of arrays
  gradient: tuple[int, ...]  # positions of the arguments through which a gradient flows
  is_network: bool
  result: Any = None


Answer = Callable[[Call], Any]  # what a call returns


class Recorder:
  """Answers calls by making them, and keeps them; calls within a call are part of it."""

  def __init__(self):
    self.calls: list[Call] = []
    self._within = False

  def __call__(self, call: Call) -> Any:
    if self._within:
      return call.function(*call.arguments)
    if not self.calls:  # its input is the images
      call.gradient = call.gradient[:1]
    self._within = True
    call.result = call.function(*call.arguments)
    self._within = False
    self.calls.append(call)
    return call.result


class Player:
  """Answers calls by the results of recorded ones, in the same order."""

  def __init__(self, results: Sequence):
    self._results = iter(results)

  def __call__(self, call: Call) -> Any:
    return next(self._results)


@contextlib.contextmanager
def tapped(answer: Answer, trainable: Variables) -> Iterator[None]:
  """While the context lasts every step of every detector is answered by `answer`.

  Args:
    answer: makes or replaces a call.
    trainable: of the detector, for which of the networks' parameters are trained.
  """
  places = [(point.module, point.function, _tap(point, answer)) for point in POINTS]
  places += [(module, 'Forward', _tapped_forward(answer, trainable)) for module in FAMILIES]
  originals = [getattr(module, name) for module, name, _ in places]
  try:
    for module, name, replacement in places:
      setattr(module, name, replacement)
    yield
  finally:
    for (module, name, _), original in zip(places, originals, strict=True):
      setattr(module, name, original)


def _tap(point: Point, answer: Answer) -> Callable:
  original = getattr(point.module, point.function)

  def call(*args, **settings):
    places = [i for i, arg in enumerate(args) if _is_of_arrays(arg)]

    def function(*arrays):
      full = list(args)
      for i, value in zip(places, arrays, strict=True):
        full[i] = value
      return original(*full, **settings)

    gradient = tuple(places.index(i) for i in point.gradient)
    return answer(Call(point.step, function, tuple(args[i] for i in places), gradient, is_network=False))

  return call


def _tapped_forward(answer: Answer, trainable: Variables) -> type[Forward]:
  class TappedForward(Forward):
    """Each network's call is one of a function of its variables and arguments."""

    def __call__(self, network: str, *args):
      return self._answer(Forward.__call__, network, args)

    def of_occupied(self, network: str, *args):
      return self._answer(Forward.of_occupied, network, args)

    def _answer(self, method: Callable, network: str, args: tuple):
      own = {name: {network: value[network]} for name, value in self._variables.items() if network in value}
      trained, frozen = freezing.split(own.pop('params'), {network: trainable[network]})

      def function(trained, frozen, collections, dropout, *args):
        variables = {**collections, 'params': freezing.merge(trained, frozen)}
        forward = Forward(self._networks, variables, self._train, dropout)
        return method(forward, network, *args), forward.new_state

      arguments = (trained, frozen, own, self._dropout, *args)
      gradient = (0, *range(4, len(arguments)))
      out, state = answer(Call(network, function, arguments, gradient, is_network=True))
      for name, moved in state.get('batch_stats', {}).items():
        self.move(name, moved)
      return out

  return TappedForward


def _is_of_arrays(tree: Any) -> bool:
  leaves = jax.tree.leaves(tree)
  return bool(leaves) and all(isinstance(leaf, jax.Array) for leaf in leaves)
