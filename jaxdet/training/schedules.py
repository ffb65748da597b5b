"""Learning rate schedules, defined as in Detectron2.

mmdetection's schedules are the same functions. Its LinearLR and ConstantLR with `end=n` reach the full rate in the
n-th iteration, one earlier than Detectron2 with n warm-up iterations: write `warmup_steps: n - 1`. Its MultiStepLR
counts epochs: `epochs_to_steps` gives the steps at which they begin.
"""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

Schedule = Callable[[Int[Array, '']], Float[Array, '']]


def build_schedule(train: ConfigDict) -> Schedule:
  """Builds the learning rate of `config.train`, as a function of the number of steps done.

  Raises:
    ValueError: an unknown schedule or warm-up, or milestones that do not increase.
  """
  settings = train.schedule
  peak = peak_lr(train)
  if settings.name == 'multistep':
    schedule = multistep(peak, settings.milestones, settings.gamma)
  elif settings.name == 'cosine':
    schedule = cosine(peak, train.steps)
  else:
    raise ValueError(f"unknown train.schedule.name '{settings.name}': choose multistep or cosine")
  if settings.warmup not in WARMUPS:
    raise ValueError(f"unknown train.schedule.warmup '{settings.warmup}': choose one of {', '.join(WARMUPS)}")
  return WARMUPS[settings.warmup](schedule, settings.warmup_steps, settings.warmup_factor)


def peak_lr(train: ConfigDict) -> float:
  """Learning rate after warm-up: linear in the batch size (Goyal et al. 2017, arXiv:1706.02677)."""
  return train.schedule.base_lr * train.batch_size / train.schedule.base_batch_size


def describe(train: ConfigDict) -> str:
  """Describes the learning rate in one line for the log."""
  settings = train.schedule
  text = (
    f'learning rate {peak_lr(train):g} = {settings.base_lr:g} * {train.batch_size} / {settings.base_batch_size} '
    f'(train.schedule.base_lr * train.batch_size / base_batch_size), {settings.name}'
  )
  if settings.name == 'multistep':
    text += f' * {settings.gamma:g} at steps {", ".join(map(str, settings.milestones))} of {train.steps}'
    if late := late_milestones(train):
      text += f' ({", ".join(map(str, late))} beyond the last step: never)'
  return text


def late_milestones(train: ConfigDict) -> list[int]:
  """Milestones that the run does not reach."""
  return [step for step in train.schedule.milestones if step >= train.steps]


def doubts(train: ConfigDict) -> list[str]:
  """Sentences on parts of the run that never come, where `train.steps` was changed and the rest was not."""
  settings, steps = train.schedule, train.steps
  found = []
  late = late_milestones(train) if settings.name == 'multistep' else []
  if late:
    falls = len(settings.milestones) - len(late)
    found.append(
      f'train.schedule.milestones {", ".join(map(str, late))} are beyond the last step of {steps}: the learning rate '
      f'{f"falls {falls} times of {len(settings.milestones)}" if falls else "never falls"}. Give milestones below '
      f'train.steps, or () for a constant rate'
    )
  if settings.warmup_steps >= steps:
    found.append(
      f'train.schedule.warmup_steps is {settings.warmup_steps} and train.steps {steps}: the run ends within the '
      f'warm-up, and the learning rate never reaches {peak_lr(train):g}'
    )
  if train.eval_every > steps:
    found.append(f'train.eval_every is {train.eval_every} and train.steps {steps}: evaluation comes at the end alone')
  return found


def multistep(lr: float, milestones: Sequence[int], gamma: float) -> Schedule:
  """`lr`, times `gamma` from each milestone (a step) on."""
  milestones = tuple(milestones)
  if any(a >= b for a, b in zip(milestones, milestones[1:], strict=False)):
    raise ValueError(f'train.schedule.milestones must increase: {milestones}')
  # A table, so that each value is rounded only once.
  values = [lr * gamma**k for k in range(len(milestones) + 1)]

  def schedule(step):
    passed = jnp.searchsorted(jnp.array(milestones, jnp.int32), step, side='right')
    return jnp.array(values, jnp.float32)[passed]

  return schedule


def cosine(lr: float, steps: int) -> Schedule:
  """Half a cosine, from `lr` at step 0 to 0 at `steps`."""

  def schedule(step):
    return 0.5 * lr * (1.0 + jnp.cos(math.pi * jnp.float32(step) / steps))

  return schedule


def linear_warmup(schedule: Schedule, steps: int, factor: float) -> Schedule:
  """Linear from `factor` times the schedule's first value to its value at `steps`, then the schedule.

  As Detectron2's LRMultiplier: before the first milestone this is the schedule times a factor that rises from `factor`
  to 1; with a cosine the line ends on the curve.
  """
  if steps == 0:
    return schedule

  def warmed(step):
    start, end = factor * schedule(0), schedule(steps)
    return jnp.where(step < steps, start + (end - start) * (jnp.float32(step) / steps), schedule(step))

  return warmed


def constant_warmup(schedule: Schedule, steps: int, factor: float) -> Schedule:
  """`factor` times the schedule before step `steps`, then the schedule: mmdetection's ConstantLR."""

  def warmed(step):
    return jnp.where(step < steps, factor, 1.0) * schedule(step)

  return warmed


WARMUPS = {'linear': linear_warmup, 'constant': constant_warmup}


def epochs_to_steps(epochs: Sequence[float], num_images: int, batch_size: int) -> tuple[int, ...]:
  """Converts epochs (0-based) to the steps at which they begin; an epoch's last batch may be smaller (mmdetection)."""
  steps_per_epoch = math.ceil(num_images / batch_size)
  return tuple(int(epoch * steps_per_epoch) for epoch in epochs)
