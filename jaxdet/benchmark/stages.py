"""Measures the time of a training step or a prediction, stage by stage.

Every network and every named step of the detector is compiled alone and runs on its inputs in the whole program. So
this is not a profile: nothing is fused across steps, every result is written to memory, and computations that two steps
share run twice. A backward pass is the time of a step's vector-Jacobian product minus that of the step, with respect to
its trained parameters and all floating-point inputs with a gradient, even if the whole program needs no gradient for an
input from a frozen stage. The sum of the steps is reported beside the time of the whole program.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxdet.benchmark.programs import Program, check_finite, prediction, training
from jaxdet.benchmark.timing import timed
from jaxdet.benchmark.workload import Workload
from jaxdet.models import forward
from jaxdet.models.forward import Apply, Variables
from jaxdet.models.recording import Record, Recorded, Replay
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer

REST = 'all else'


def measure_stages(workload: Workload, task: str) -> dict[str, Any]:
  """Measures seconds of every step of the training step ('train') or the prediction ('predict'), on one device.

  Returns:
    {'stages': [{'step', 'forward_s', 'backward_s'}, ..], 'forward_s', 'backward_s': of the whole, 'optimizer_s',
    'step_s': of the training step}. In a prediction all but 'forward_s' are None.

  Raises:
    ValueError: there are several devices.
  """
  if jax.device_count() > 1:
    raise ValueError(
      f'--stages measures one device, and there are {jax.device_count()}: hide the others, as with CUDA_VISIBLE_DEVICES'
    )
  jax.config.update('jax_enable_compilation_cache', False)
  return {'train': _of_training, 'predict': _of_prediction}[task](workload)


def _of_training(workload: Workload) -> dict[str, Any]:
  config, detector = workload.config, workload.detector()
  program = training(workload)
  state, batch, key = program.arguments
  trainable = freezing.trainable(state.params, config.model.frozen)
  trained, frozen = freezing.split(state.params, trainable)

  def losses(trained, frozen, collections, batch, key):
    variables = {'params': freezing.merge(trained, frozen), **collections}
    values, _ = forward.loss(detector, variables, batch, key)
    return sum(value for name, value in values.items() if name.startswith('loss_'))

  def call_losses(call, batch, key):
    return sum(value for name, value in detector.loss(call, batch, key).items() if name.startswith('loss_'))

  inputs = (trained, frozen, state.collections, batch, key)
  calls = record(call_losses, detector.networks, state.variables, trainable, (batch, key), train=True)
  stages = [_timed_step(call, workload.repeats, backward=True) for call in calls]

  of_losses = _seconds(jax.jit(losses), inputs, workload.repeats)
  gradient = jax.jit(jax.grad(losses))
  both = _seconds(gradient, inputs, workload.repeats)
  optimizer = build_optimizer(config, state.params)

  @jax.jit
  def update(gradients, opt_state, trained):
    updates, opt_state = optimizer.update(gradients, opt_state, trained)
    return optax.apply_updates(trained, updates), opt_state

  gradients = gradient(*inputs)
  return {
    'stages': numbered(stages),
    'forward_s': of_losses,
    'backward_s': max(both - of_losses, 0.0),
    'optimizer_s': _seconds(update, (gradients, state.opt_state, trained), workload.repeats),
    'step_s': _seconds_of_step(program, workload.repeats),
  }


def _of_prediction(workload: Workload) -> dict[str, Any]:
  detector = workload.detector()
  variables, batch = prediction(workload).arguments
  trainable = freezing.trainable(variables['params'], workload.config.model.frozen)
  calls = record(detector.predict, detector.networks, variables, trainable, (batch,), train=False)
  whole = jax.jit(functools.partial(forward.predict, detector))
  check_finite({'score': whole(variables, batch).scores})
  return {
    'stages': numbered([_timed_step(call, workload.repeats, backward=False) for call in calls]),
    'forward_s': _seconds(whole, (variables, batch), workload.repeats),
    'backward_s': None,
    'optimizer_s': None,
    'step_s': None,
  }


@dataclasses.dataclass
class Call:
  """A part of a program that can be run alone."""

  step: str  # name of the network, or of the step
  function: Callable
  arguments: tuple  # trees of arrays
  gradient: tuple[int, ...]  # positions of the arguments with a gradient


def record(
  function: Callable,
  networks: Mapping[str, nn.Module],
  variables: Variables,
  trainable: Variables,
  inputs: tuple,
  train: bool,
) -> list[Call]:
  """Records the calls within `function(call, *inputs)` with their inputs, and the rest of it as one more call.

  Args:
    function: a detector's `loss` or `predict`.
    networks: of the detector.
    variables: of the networks.
    trainable: tree of bool, True for trained parameters.
    inputs: a batch, and in training a random key.
    train: True: networks run as in training.
  """
  recorded: list[Recorded] = []
  dropout = inputs[1] if train else None

  @jax.jit
  def values(variables, inputs):
    call = Record(networks, variables, train, dropout)
    function(call, *inputs)
    recorded[:] = call.calls
    return [(each.arguments, each.result) for each in call.calls]

  for each, (arguments, result) in zip(recorded, values(variables, inputs), strict=True):
    each.arguments, each.result = arguments, result
  calls = []
  for each in recorded:
    if each.function is None:
      calls.append(_network_call(each, networks, variables, trainable, train, dropout, is_first=not calls))
    else:
      calls.append(Call(each.name, each.function, each.arguments, tuple(range(each.gradient))))

  def rest(of_networks, of_steps, inputs):
    by_kind = iter(of_networks), iter(of_steps)
    results = [next(by_kind[each.function is not None]) for each in recorded]
    return function(Replay(results, variables['batch_stats']), *inputs)

  of_networks = [each.result for each in recorded if each.function is None]
  of_steps = [each.result for each in recorded if each.function is not None]
  return [*calls, Call(REST, rest, (of_networks, of_steps, inputs), gradient=(0,))]


def _network_call(
  each: Recorded,
  networks: Mapping[str, nn.Module],
  variables: Variables,
  trainable: Variables,
  train: bool,
  dropout: Array | None,
  is_first: bool,
) -> Call:
  """Makes a call of a network as a function of its trained parameters, other variables and arguments."""
  own = {name: {each.name: tree[each.name]} for name, tree in variables.items() if each.name in tree}
  trained, frozen = freezing.split(own.pop('params', {each.name: {}}), {each.name: trainable.get(each.name, {})})

  def run(trained, frozen, collections, *args):
    call = Apply(networks, {**collections, 'params': freezing.merge(trained, frozen)}, train, dropout)
    return call.on_valid_rows(each.name, *args) if each.valid_rows else call(each.name, *args)

  # The first network's arguments are the images.
  gradient = (0,) if is_first else (0, *range(3, 3 + each.gradient))
  return Call(each.name, run, (trained, frozen, own, *each.arguments), gradient)


def _timed_step(call: Call, repeats: int, backward: bool) -> dict[str, Any]:
  forward = _seconds(jax.jit(call.function), call.arguments, repeats)
  seconds = None
  if backward and call.gradient:
    seconds = max(_seconds(_gradient(call), call.arguments, repeats) - forward, 0.0)  # less is noise
  return {'step': call.step, 'forward_s': forward, 'backward_s': seconds}


def _gradient(call: Call) -> Callable:
  """Compiles the vector-Jacobian product of a step, with its results as vector, which cannot be folded away."""

  @jax.jit
  def gradient(*arguments):
    leaves, structure = jax.tree.flatten(arguments)
    wanted = jax.tree.leaves(
      [jax.tree.map(lambda x, i=i: i in call.gradient and _is_float(x), tree) for i, tree in enumerate(arguments)]
    )
    chosen = [i for i, is_wanted in enumerate(wanted) if is_wanted]

    def of_chosen(*values):
      full = list(leaves)
      for i, value in zip(chosen, values, strict=True):
        full[i] = value
      return [x for x in jax.tree.leaves(call.function(*jax.tree.unflatten(structure, full))) if _is_float(x)]

    results, pull = jax.vjp(of_chosen, *(leaves[i] for i in chosen))
    gradients = pull(results)
    # Unused inputs have gradients of zeros; summed, they take no time.
    return [x.sum() for x in gradients] if call.step == REST else gradients

  return gradient


def _seconds(function: Callable, arguments: tuple, repeats: int) -> float:
  return timed(lambda: jax.block_until_ready(function(*arguments)), repeats).median


def _seconds_of_step(program: Program, repeats: int) -> float:
  arguments = program.arguments

  def call() -> None:
    nonlocal arguments
    result = jax.block_until_ready(program.function(*arguments))
    arguments = program.following(arguments, result)

  return timed(call, repeats).median


def numbered(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Numbers the steps that occur more than once."""
  times, seen = Counter(stage['step'] for stage in stages), Counter()
  for stage in stages:
    name = stage['step']
    seen[name] += 1
    stage['step'] = f'{name} {seen[name]}' if times[name] > 1 else name
  return stages


def _is_float(x: jax.Array) -> bool:
  return jnp.issubdtype(x.dtype, jnp.inexact)
