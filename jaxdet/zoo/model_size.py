"""Measures the size of a config's detector: number of classes, parameters, FLOPs per image."""

import dataclasses
import fnmatch
import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxdet.configuration import detection_canvases
from jaxdet.convert.stablehlo import batch_of_images
from jaxdet.flops import matrix_flops
from jaxdet.models import forward
from jaxdet.models.build import build_without_data
from jaxdet.models.initialize import variable_shapes
from jaxdet.structures import Batch, Proposals

NUM_CLASSES = {  # of published data sets, by the folder of config.data.dir and the first file of config.data.train
  'lvis/*lvis_v0.5*': 1230,
  'lvis/*': 1203,
  'coco/*person_keypoints*': 1,
  'coco/*': 80,
  'cityscapes/*': 8,
  'VOCdevkit/*': 20,
  'deepfashion/*': 15,
}


@dataclasses.dataclass(frozen=True)
class Size:
  """Parameters and FLOPs of a detector."""

  parameters: int  # values in the collection `params`, trained or not; without batch norms' statistics and constants
  # Operations of the products and convolutions of `predict` on one image of the first canvas (flops.py); None: not
  # counted.
  flops: float | None


def num_classes(config: ConfigDict) -> int:
  """Number of classes of a config, without its annotation file.

  Raises:
    ValueError: the data set is in no table, and config.model.num_classes is None.
  """
  if config.model.num_classes is not None:
    return config.model.num_classes
  if config.data.name == 'shapes':
    return config.data.shapes.categories
  train = [config.data.train] if isinstance(config.data.train, str) else [*config.data.train]
  folder = config.data.dir.rstrip('/').rpartition('/')[2]
  name = '/'.join([folder, *train[:1]])
  for pattern, count in NUM_CLASSES.items():
    if fnmatch.fnmatchcase(name, pattern):
      return count
  raise ValueError(f"how many classes the data set '{name}' has is not known: set config.model.num_classes")


def measure(config: ConfigDict, with_flops: bool = True) -> Size:
  """Measures the size of a config's detector from shapes, without compiling or running it."""
  detector = build_without_data(config.model, num_classes(config))
  variables = variable_shapes(detector)
  parameters = sum(x.size for x in jax.tree.leaves(variables['params']))
  if not with_flops:
    return Size(parameters, None)
  predict = functools.partial(forward.predict, detector)
  return Size(parameters, matrix_flops(predict, variables, _abstract_batch(config)))


def _abstract_batch(config: ConfigDict) -> Batch:
  """Shapes of a batch of one image, with proposals if the detector does not generate any."""
  canvas = detection_canvases(config.data)[0]
  batch = jax.eval_shape(
    batch_of_images, jax.ShapeDtypeStruct((1, *canvas, 3), jnp.uint8), jax.ShapeDtypeStruct((1, 2), jnp.int32)
  )
  if 'proposals' not in config.model or config.model.proposals.name != 'given':
    return batch
  count = config.model.proposals.count
  return batch.replace(
    proposals=Proposals(
      jax.ShapeDtypeStruct((1, count, 4), jnp.float32),
      jax.ShapeDtypeStruct((1, count), jnp.float32),
      jax.ShapeDtypeStruct((1, count), bool),
    )
  )
