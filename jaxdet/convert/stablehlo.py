"""Exports a detector as one file that JAX runs without jaxdet: program for CPU, CUDA and TPU, and weights."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxdet.models import forward
from jaxdet.structures import Batch, Category, Objects

PLATFORMS = ('cpu', 'cuda', 'tpu')
STRIDE = 32  # of the coarsest features of a backbone


def export_predict(
  detector, variables: Mapping, batch_size: int, canvas: tuple[int, int], platforms: Sequence[str] = PLATFORMS
) -> bytes:
  """Serialises the program of `detector.predict` (`jax.export`).

  Its inputs are uint8 images [B, H, W, 3] in RGB, each at the top left of its canvas, and int32 sizes [B, 2] (height,
  width). It returns a dict of the fields of `Detections`; `masks` only if the model has them.

  Args:
    detector: has `predict(variables, batch) -> Detections`.
    variables: its weights.
    batch_size: B.
    canvas: (H, W) in pixels.
    platforms: platforms that can run it, independent of this machine.

  Raises:
    ValueError: flatbuffers is not installed, which JAX needs to write and read such files.
  """

  def predict(image, image_size):
    found = forward.predict(detector, jax.tree.map(jnp.asarray, variables), batch_of_images(image, image_size))
    made = vars(found) | {'masks': None if found.masks is None else found.masks.probabilities}
    return {name: value for name, value in made.items() if value is not None}

  arguments = (
    jax.ShapeDtypeStruct((batch_size, *canvas, 3), jnp.uint8),
    jax.ShapeDtypeStruct((batch_size, 2), jnp.int32),
  )
  exported = jax.export.export(jax.jit(predict), platforms=platforms)(*arguments)
  try:
    return bytes(exported.serialize())
  except ImportError as error:
    raise ValueError("export --to stablehlo needs flatbuffers: pip install 'jaxdet[convert]'") from error


def description(categories: Sequence[Category], resize: ConfigDict) -> dict[str, Any]:
  """Describes the inputs and results of such a program; `resize` is config.data.resize."""
  about = {
    'categories': [category.name for category in categories],
    'category_ids': [category.id for category in categories],
  }
  if resize.name == 'stretch':
    return about | {'stretched': True}  # images fill the canvas, whatever their shape
  # In pixels of the resized image; the shortest side is smaller if the longest would exceed its limit.
  return about | {'shortest_side': resize.test_size, 'longest_side': resize.max_size}


def parse_canvas(text: str) -> tuple[int, int]:
  """Parses 'HEIGHTxWIDTH' to (height, width).

  Raises:
    ValueError: another format, or not multiples of the coarsest stride.
  """
  found = re.fullmatch(r'(\d+)x(\d+)', text)
  if not found or any(int(side) < STRIDE or int(side) % STRIDE for side in found.groups()):
    raise ValueError(f"--canvas is '{text}': give HEIGHTxWIDTH in multiples of {STRIDE} pixels, as 800x1344")
  return int(found[1]), int(found[2])


def batch_of_images(image, image_size) -> Batch:
  """Makes a batch without objects."""
  count = image.shape[0]
  return Batch(
    image=image,
    image_size=image_size,
    original_size=image_size,
    index=jnp.arange(count, dtype=jnp.int32),
    valid=jnp.ones(count, bool),
    objects=Objects(jnp.zeros((count, 0, 4)), jnp.zeros((count, 0), jnp.int32), jnp.zeros((count, 0), bool)),
  )
