"""Compiles a training step for the devices at hand and prints what they exchange, and the metrics of two steps.

  python mesh_program.py float32|float64

A process of its own, since the number of devices is fixed when JAX starts.
"""

import json
import re
import sys

import jax
import numpy as np

from jaxdet import sharding
from jaxdet.models.build import build_detector
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import create_state
from jaxdet.training.step import make_train_step
from small_detector import CLASSES, make_batch, small_config


def main(dtype: str) -> None:
  jax.config.update('jax_enable_x64', dtype == 'float64')
  config = small_config().copy_and_resolve_references()
  config.model.dtype = dtype
  detector = build_detector(config.model, CLASSES)
  mesh = sharding.make_mesh()
  state = create_state(config, detector, jax.random.key(0), mesh)
  state = jax.tree.map(lambda x: x.astype(dtype) if x.dtype == np.float32 else x, state)
  batch = sharding.put_batch(make_batch(images=4), mesh)
  step = make_train_step(config, detector, build_optimizer(config, state.params), mesh)
  compiled = step.lower(state, batch, jax.random.key(1)).compile()
  collectives = re.findall(r' (all-[a-z]+|reduce-scatter|collective-[a-z]+)(?:-[a-z]+)?\(', compiled.as_text())
  losses = []
  for _ in range(2):
    state, metrics = compiled(state, batch, jax.random.key(1))
    losses.append({name: float(value) for name, value in metrics.items()})
  print(json.dumps({'devices': mesh.size, 'collectives': sorted(set(collectives)), 'losses': losses}))
  np.testing.assert_equal(int(state.step), 2)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1]))
