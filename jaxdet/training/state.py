"""Training state: parameters, statistics and optimizer state."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from jaxdet import sharding as parallel
from jaxdet.models.initialize import initialize
from jaxdet.training import freezing
from jaxdet.training.freezing import Params
from jaxdet.training.optimizer import build_optimizer


@flax.struct.dataclass
class TrainState:
  """Everything that training changes, and the constants. A step donates it."""

  step: Int[Array, '']  # int32, steps done
  params: Params  # float32, trained and frozen ones
  constants: Params
  batch_stats: Params
  opt_state: Any  # of the trained parameters only
  ema_params: Params | None  # moving average of the trained parameters (see `freezing.split`), or None

  @property
  def collections(self) -> dict[str, Params]:
    """Variables other than `params`."""
    return {'constants': self.constants, 'batch_stats': self.batch_stats}

  @property
  def variables(self) -> dict[str, Params]:
    """Variables for evaluation, with averaged parameters if there are any."""
    params = self.params if self.ema_params is None else freezing.merge(self.ema_params, self.params)
    return {'params': params, **self.collections}


def create_state(config: ConfigDict, detector, key: Array, mesh: Mesh | None = None) -> TrainState:
  """Creates the state before the first step, with random parameters.

  Args:
    config: the whole configuration.
    detector: see docs/design.md, 'A detector'.
    key: random key of the parameters.
    mesh: the devices, with the state replicated; None: all.
  """
  create = functools.partial(_create, config, detector)
  return jax.jit(create, out_shardings=parallel.replicated(mesh or parallel.make_mesh()))(key)


def abstract_state(config: ConfigDict, detector, mesh: Mesh | None = None) -> TrainState:
  """Returns shapes and shardings of `create_state` as jax.ShapeDtypeStruct, without computing anything."""
  replicated = parallel.replicated(mesh or parallel.make_mesh())
  shapes = jax.eval_shape(functools.partial(_create, config, detector), jax.random.key(0))
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), shapes)


def _create(config: ConfigDict, detector, key: Array) -> TrainState:
  variables = initialize(detector, key)
  params = variables['params']
  trained, _ = freezing.split(params, freezing.trainable(params, config.model.frozen))
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    constants=variables.get('constants', {}),
    batch_stats=variables.get('batch_stats', {}),
    opt_state=build_optimizer(config, params).init(trained),
    ema_params=trained if config.train.ema_decay else None,
  )
