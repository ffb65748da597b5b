"""Measures the training step and the prediction of a config: compilation, time, operations and memory."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxdet import sharding
from jaxdet.benchmark.matmul import peak_flops
from jaxdet.benchmark.memory import peak_memory
from jaxdet.benchmark.timing import timed
from jaxdet.benchmark.workload import Workload
from jaxdet.flops import matrix_flops
from jaxdet.models import forward
from jaxdet.models.initialize import initialize
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import create_state
from jaxdet.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class Program:
  """A jitted function with the arguments of its first call."""

  function: Callable
  arguments: tuple
  following: Callable[[tuple, Any], tuple]  # (arguments, result) to the next call's arguments
  watched: Callable[[Any], Mapping[str, jax.Array]]  # result to arrays that must be finite


def measure(workload: Workload, task: str) -> dict[str, Any]:
  """Measures one program on all devices, in this process.

  Memory peaks are the process's, so measure only one program per process. Operations are those of products and
  convolutions (flops.py); operations that rematerialisation computes twice count twice.

  Args:
    workload: config and batch.
    task: 'train' or 'predict'.

  Raises:
    ValueError: the batch cannot be sharded over the devices.
    FloatingPointError: losses or scores are not finite.
  """
  # The compilation itself is measured, so it must not come from the cache.
  jax.config.update('jax_enable_compilation_cache', False)
  program = PROGRAMS[task](workload)
  flops = matrix_flops(program.function, *program.arguments)
  started = time.perf_counter()
  lowered = program.function.lower(*program.arguments)
  traced = time.perf_counter()
  compiled = lowered.compile()
  compilation = time.perf_counter() - traced

  arguments = program.arguments

  def call() -> None:
    nonlocal arguments
    result = jax.block_until_ready(compiled(*arguments))
    arguments = program.following(arguments, result)
    check_finite(program.watched(result))

  timing = timed(call, workload.repeats)
  memory = peak_memory(compiled)  # before there are other programs
  peak = peak_flops(workload.dtype, workload.repeats)
  return {
    'trace_s': traced - started,
    'compile_s': compilation,
    'step_s': timing.median,
    'spread_s': timing.spread,
    'calls': timing.calls,
    'images_per_s': workload.images / timing.median,
    'flops': flops,
    'flops_per_s': flops / timing.median,
    'peak_flops_per_s': peak,
    'peak_share': flops / timing.median / peak,
    'memory_gib': memory,
  }


def training(workload: Workload) -> Program:
  """Makes the program of the training step; every call donates the state."""
  config, detector, mesh = workload.config, workload.detector(), sharding.make_mesh()
  sharding.check_batch_size(workload.images, config.train.accumulate, mesh)
  state = create_state(config, detector, jax.random.key(0), mesh)
  step = make_train_step(config, detector, build_optimizer(config, state.params), mesh)
  key = jax.device_put(jax.random.key(1), sharding.replicated(mesh))
  return Program(
    step,
    (state, sharding.put_batch(workload.batch(), mesh), key),
    following=lambda arguments, result: (result[0], *arguments[1:]),
    watched=lambda result: {name: result[1][name] for name in ('total_loss', 'grad_norm')},
  )


def prediction(workload: Workload) -> Program:
  """Makes the program of the prediction, with random weights."""
  detector, mesh = workload.detector(), sharding.make_mesh()
  sharding.check_batch_size(workload.images, 1, mesh)
  replicated, by_image = sharding.replicated(mesh), sharding.over_batch(mesh)

  return Program(
    jax.jit(sharding.on_mesh(functools.partial(forward.predict, detector), mesh), out_shardings=by_image),
    (
      jax.jit(functools.partial(initialize, detector), out_shardings=replicated)(jax.random.key(0)),
      sharding.put_batch(workload.batch(), mesh),
    ),
    following=lambda arguments, result: arguments,
    watched=lambda result: {'score': result.scores},
  )


PROGRAMS = {'train': training, 'predict': prediction}


def check_finite(values: Mapping[str, jax.Array]) -> None:
  """Raises FloatingPointError if a value is not finite: with NaN a network detects nothing, which is fast."""
  for name, value in values.items():
    if not np.isfinite(np.asarray(value)).all():
      raise FloatingPointError(f'{name} is not finite with random weights: this does not measure what training does')
