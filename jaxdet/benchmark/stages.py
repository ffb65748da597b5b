"""Where the time of a training step or a prediction goes, step by step.

Every network and every function of `taps.POINTS` is compiled alone and runs on the values that it meets in the whole
program. So this is not a profile: the compiler fuses nothing across steps, every result is written to memory, and what
the whole program computes once for two steps is computed twice. A backward pass is the time of a step's
vector-Jacobian product less that of the step, with respect to its trained parameters and to all floating-point inputs
through which a gradient flows, also where the whole program needs none for an input from a frozen stage. The sum of the
steps stands beside the whole, which tells how far they are apart.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdet.benchmark.programs import Program, check_finite, prediction, training
from jaxdet.benchmark.taps import Call, Player, Recorder, tapped
from jaxdet.benchmark.timing import timed
from jaxdet.benchmark.workload import Workload
from jaxdet.models.detectors.forward import Variables
from jaxdet.training import freezing
from jaxdet.training.optimizer import build_optimizer

REST = 'all else'


def measure_stages(workload: Workload, task: str) -> dict[str, Any]:
  """Seconds of every step of the training step ('train') or of the prediction ('predict'), on one device.

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
  trained, frozen = freezing.split(state.params, detector.trainable(state.params))

  def losses(trained, frozen, collections, batch, key):
    variables = {'params': freezing.merge(trained, frozen), **collections}
    values, _ = detector.loss(variables, batch, key)
    return sum(value for name, value in values.items() if name.startswith('loss_'))

  inputs = (trained, frozen, state.collections, batch, key)
  calls, rest = record(losses, inputs, detector.trainable(state.params))
  stages = [_timed_step(call, workload.repeats, backward=True) for call in calls]
  stages.append(_timed_step(rest, workload.repeats, backward=True))

  forward = _seconds(jax.jit(losses), inputs, workload.repeats)
  gradient = jax.jit(jax.grad(losses))
  both = _seconds(gradient, inputs, workload.repeats)
  optimizer = build_optimizer(config, detector, state.params)

  @jax.jit
  def update(gradients, opt_state, trained):
    updates, opt_state = optimizer.update(gradients, opt_state, trained)
    return optax.apply_updates(trained, updates), opt_state

  gradients = gradient(*inputs)
  return {
    'stages': numbered(stages),
    'forward_s': forward,
    'backward_s': max(both - forward, 0.0),
    'optimizer_s': _seconds(update, (gradients, state.opt_state, trained), workload.repeats),
    'step_s': _seconds_of_step(program, workload.repeats),
  }


def _of_prediction(workload: Workload) -> dict[str, Any]:
  detector = workload.detector()
  variables, batch = prediction(workload).arguments
  calls, rest = record(detector.predict, (variables, batch), detector.trainable(variables['params']))
  whole = jax.jit(detector.predict)
  check_finite({'score': whole(variables, batch).scores})
  return {
    'stages': numbered([_timed_step(call, workload.repeats, backward=False) for call in [*calls, rest]]),
    'forward_s': _seconds(whole, (variables, batch), workload.repeats),
    'backward_s': None,
    'optimizer_s': None,
    'step_s': None,
  }


def record(function: Callable, inputs: tuple, trainable: Variables) -> tuple[list[Call], Call]:
  """The calls within `function(*inputs)` with the values that they met, and what remains without them as one more."""
  calls = []

  @jax.jit
  def values(*inputs):
    recorder = Recorder()
    with tapped(recorder, trainable):
      function(*inputs)
    calls[:] = recorder.calls
    return [(call.arguments, call.result) for call in calls]

  for call, (arguments, result) in zip(calls, values(*inputs), strict=True):
    call.arguments, call.result = arguments, result

  def remaining(of_networks, of_functions, *inputs):
    networks, functions = iter(of_networks), iter(of_functions)
    results = [next(networks if call.is_network else functions) for call in calls]
    with tapped(Player(results), trainable):
      return function(*inputs)

  of_networks = [call.result for call in calls if call.is_network]
  of_functions = [call.result for call in calls if not call.is_network]
  return calls, Call(REST, remaining, (of_networks, of_functions, *inputs), gradient=(0,), is_network=False)


def _timed_step(call: Call, repeats: int, backward: bool) -> dict[str, Any]:
  forward = _seconds(jax.jit(call.function), call.arguments, repeats)
  seconds = None
  if backward and call.gradient:
    seconds = max(_seconds(_gradient(call), call.arguments, repeats) - forward, 0.0)  # less is noise
  return {'step': call.step, 'forward_s': forward, 'backward_s': seconds}


def _gradient(call: Call) -> Callable:
  """The vector-Jacobian product of a step, compiled; its results serve as the vector, which no compiler foresees."""

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
    # Of what is not read the gradient is an array of zeros; as a sum it is no work.
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
  """With numbers where a step comes more than once."""
  times, seen = Counter(stage['step'] for stage in stages), Counter()
  for stage in stages:
    name = stage['step']
    seen[name] += 1
    stage['step'] = f'{name} {seen[name]}' if times[name] > 1 else name
  return stages


def _is_float(x: jax.Array) -> bool:
  return jnp.issubdtype(x.dtype, jnp.inexact)
