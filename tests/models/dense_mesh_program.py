"""Compiles loss and prediction of a dense detector for the devices at hand and prints what they exchange, and losses.

A process of its own, since the number of devices is fixed when JAX starts.
"""

import functools
import json
import re
import sys

import jax
from jax.sharding import NamedSharding, PartitionSpec

from jaxdet import sharding
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from small_cornernet import small_model
from small_dense import small_dense_config, small_dense_detector
from small_detector import CLASSES, make_batch

QUICK = {'xla_backend_optimization_level': 0}  # most of the time goes into compiling


def main(variant: str) -> None:
  if variant == 'cornernet':
    detector = build_detector(small_model(), CLASSES)
  else:
    detector = small_dense_detector(small_dense_config(variant))
  variables = jax.jit(functools.partial(initialize, detector), compiler_options=QUICK)(jax.random.key(0))
  batch, mesh = make_batch(images=4), sharding.make_mesh()

  def loss(params, others, batch):
    losses, state = forward.loss(detector, others | {'params': params}, batch, jax.random.key(1))
    return sum(losses.values()), (losses, state)

  def gradient(variables, batch):
    return jax.grad(loss, has_aux=True)(variables['params'], variables, batch)

  def on_mesh(function):
    def wrapped(*args):
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return function(*args)

    return wrapped

  one = jax.device_put((variables, batch), jax.devices()[0])
  every = jax.device_put(variables, NamedSharding(mesh, PartitionSpec())), sharding.put_batch(batch, mesh)
  on_one, on_every = compiled(gradient, *one), compiled(on_mesh(gradient), *every)
  printed = {
    'devices': mesh.size,
    'one': magnitudes(on_one(*one)[1]),
    'every': magnitudes(on_every(*every)[1]),
    'loss': collectives(on_every),
    'predict': collectives(compiled(on_mesh(functools.partial(forward.predict, detector)), *every)),
  }
  print(json.dumps(printed))


def compiled(function, *args):
  return jax.jit(function).lower(*args).compile(compiler_options=QUICK)


def magnitudes(tree) -> list[float]:
  """The sum of what each array holds, without signs."""
  return [float(abs(x).sum()) for x in jax.tree.leaves(tree)]


def collectives(program) -> list[str]:
  return sorted(set(re.findall(r' (all-[a-z]+|reduce-scatter|collective-[a-z]+)(?:-[a-z]+)?\(', program.as_text())))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1]))
