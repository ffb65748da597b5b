"""Runs a detector over batches: one compiled program per canvas, batches sharded over all devices."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdet.models import forward
from jaxdet.sharding import make_mesh, on_mesh, put_batch, replicated
from jaxdet.structures import Batch, Detections, Objects

Place = Callable[[Batch], Batch]


def shard_over_devices(batch: Batch) -> Batch:
  """Puts this process's part of a global batch on the devices, sharded by image over the devices of all processes.

  Raises:
    ValueError: the images do not divide over this process's devices.
  """
  images, devices = len(batch.valid), jax.local_device_count()
  if images % devices:
    raise ValueError(f'{images} images a process do not divide over its {devices} devices: change eval.batch_size')
  return put_batch(batch, make_mesh())


def infer(
  detector, variables: Mapping, batches: Iterable[Batch], place: Place = shard_over_devices
) -> Iterator[tuple[Batch, Detections]]:
  """Yields each of this process's batches with its detections, both as NumPy arrays.

  While the caller handles a batch, the device computes the next.

  Args:
    detector: see models/forward.py.
    variables: of its networks.
    batches: NumPy; over several processes each yields the same number of them.
    place: puts a batch on the devices; detections are sharded as its `valid`.
  """
  program = pending = None
  for batch in batches:
    placed = place(batch)
    if program is None:
      sharding = placed.valid.sharding
      variables = _replicate(variables, sharding)
      program = _program(detector, sharding)
    following = batch, program(variables, placed)
    jax.tree.map(lambda field: field.copy_to_host_async(), following[1])
    if pending is not None:
      yield pending[0], jax.tree.map(_local, pending[1])
    pending = following
  if pending is not None:
    yield pending[0], jax.tree.map(_local, pending[1])


def detection_shapes(detector, variables: Mapping, images: int, canvas: tuple[int, int]) -> Detections:
  """Shapes of the detections of a batch of evaluation, as jax.ShapeDtypeStruct, without computing anything.

  Args:
    detector: see models/forward.py.
    variables: of its networks; shapes are enough.
    images: of the batch.
    canvas: (height, width) in pixels.

  Raises:
    ValueError: the detector cannot predict.
  """
  shape = jax.ShapeDtypeStruct
  size = shape((images, 2), jnp.int32)
  objects = Objects(shape((images, 0, 4), jnp.float32), shape((images, 0), jnp.int32), shape((images, 0), bool))
  batch = Batch(
    image=shape((images, *canvas, 3), jnp.uint8),
    image_size=size,
    original_size=size,
    index=shape((images,), jnp.int32),
    valid=shape((images,), bool),
    objects=objects,
  )
  return jax.eval_shape(functools.partial(forward.predict, detector), variables, batch)


@functools.lru_cache(maxsize=4)
def _program(detector, sharding: jax.sharding.Sharding) -> Callable[[Mapping, Batch], Detections]:
  """The jitted prediction, the same one in every evaluation of a run."""
  predict = functools.partial(forward.predict, detector)
  if isinstance(sharding, jax.sharding.NamedSharding):
    predict = on_mesh(predict, sharding.mesh)
  return jax.jit(predict, out_shardings=sharding)


def _replicate(variables: Mapping, sharding: jax.sharding.Sharding) -> Mapping:
  """Puts variables on the devices of `sharding`, unless they are there already."""
  if isinstance(sharding, jax.sharding.NamedSharding):
    sharding = replicated(sharding.mesh)

  def move(leaf):
    there = isinstance(leaf, jax.Array) and leaf.sharding.device_set == sharding.device_set
    return leaf if there else jax.device_put(leaf, sharding)

  return jax.tree.map(move, variables)


def _local(array: jax.Array) -> np.ndarray:
  """Rows of an array on this process's devices."""
  if array.is_fully_addressable:
    return np.asarray(array)
  shards = [shard for shard in array.addressable_shards if shard.replica_id == 0]
  shards.sort(key=lambda shard: shard.index[0].start or 0)
  return np.concatenate([np.asarray(shard.data) for shard in shards])
