"""Training step: losses, gradients and update; compiled once per canvas, with its state donated."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxdet import sharding as parallel
from jaxdet.models import forward
from jaxdet.structures import Batch
from jaxdet.training import freezing
from jaxdet.training.freezing import Params
from jaxdet.training.schedules import build_schedule
from jaxdet.training.state import TrainState

Metrics = dict[str, Float[Array, '']]
Step = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def make_train_step(
  config: ConfigDict, detector, optimizer: optax.GradientTransformation, mesh: Mesh | None = None
) -> Step:
  """Makes the jitted `step(state, batch, key) -> (state, metrics)`.

  `key` is the same in every step: the step folds its number into it. Metrics are the detector's losses, `total_loss`
  (the sum of those whose names begin with `loss_`), `grad_norm` (global, of the trained parameters, before clipping)
  and `lr`.

  With `train.accumulate` = A the batch is processed in A micro-batches, one after the other. Each normalises its own
  losses; gradients and metrics are means over micro-batches. Image i belongs to micro-batch i % A, so that every device
  has a part of each.

  Args:
    config: the whole configuration.
    detector: see docs/design.md, 'A detector'.
    optimizer: from `build_optimizer`.
    mesh: the devices; None: all.
  """
  mesh = mesh or parallel.make_mesh()
  schedule = build_schedule(config.train)
  accumulate, ema_decay = config.train.accumulate, config.train.ema_decay
  losses_of = parallel.on_mesh(functools.partial(forward.loss, detector), mesh)

  def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
    trained, frozen = freezing.split(state.params, freezing.trainable(state.params, config.model.frozen))

    def total_loss(trained, batch_stats, batch, key):
      params = freezing.merge(trained, frozen)
      variables = {'params': params, 'constants': state.constants, 'batch_stats': batch_stats}
      losses, moved = losses_of(variables, batch, key)
      total = sum(value for name, value in losses.items() if name.startswith('loss_'))
      return total, ({**losses, 'total_loss': total}, {**batch_stats, **moved.get('batch_stats', {})})

    key = jax.random.fold_in(key, state.step)
    gradient = accumulated(jax.grad(total_loss, has_aux=True), accumulate)
    grads, (metrics, batch_stats) = gradient(trained, state.batch_stats, batch, key)
    metrics = {**metrics, 'grad_norm': optax.tree.norm(grads), 'lr': schedule(state.step)}

    with jax.named_scope('optimizer'):
      updates, opt_state = optimizer.update(grads, state.opt_state, trained)
      trained = optax.apply_updates(trained, updates)
    ema = state.ema_params
    if ema is not None:
      ema = optax.incremental_update(trained, ema, 1.0 - ema_decay)
    state = state.replace(
      step=state.step + 1,
      params=freezing.merge(trained, frozen),
      batch_stats=batch_stats,
      opt_state=opt_state,
      ema_params=ema,
    )
    return state, metrics

  replicated = parallel.replicated(mesh)
  return jax.jit(
    step,
    donate_argnums=0,
    in_shardings=(replicated, parallel.over_batch(mesh), replicated),
    out_shardings=replicated,
  )


def accumulated(gradient: Callable, count: int) -> Callable:
  """Averages `gradient(trained, batch_stats, batch, key) -> (grads, (metrics, batch_stats))` over micro-batches."""
  if count == 1:
    return gradient

  def over_micro_batches(trained: Params, batch_stats: Params, batch: Batch, key: Array):
    # Splitting into (images / A, A) keeps every device's images on it.
    micro_batches = jax.tree.map(lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]), batch)

    def add(carry, index):
      grads, batch_stats = carry
      micro_batch = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, index, 1, keepdims=False), micro_batches)
      new, (metrics, batch_stats) = gradient(trained, batch_stats, micro_batch, jax.random.fold_in(key, index))
      return (jax.tree.map(jnp.add, grads, new), batch_stats), metrics

    zeros = jax.tree.map(jnp.zeros_like, trained)
    (grads, batch_stats), metrics = lax.scan(add, (zeros, batch_stats), jnp.arange(count))
    mean = jax.tree.map(lambda x: x / count, grads), jax.tree.map(lambda x: x.mean(0), metrics)
    return mean[0], (mean[1], batch_stats)

  return over_micro_batches
