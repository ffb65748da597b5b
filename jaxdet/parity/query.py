"""Compares the inference of query detectors, step by step, with a recorded run."""

import functools

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxdet.models import forward
from jaxdet.models.detectors.query import Outputs, QueryDetector
from jaxdet.models.forward import Variables
from jaxdet.models.recording import Record
from jaxdet.models.transformers.cells import Cells
from jaxdet.parity.compare import Comparison
from jaxdet.parity.model_under_test import ModelUnderTest
from jaxdet.parity.names import level_names
from jaxdet.structures import Batch, Detections


def compare_inference(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of all recorded tensors of an inference pass."""
  images, maps, cells, outputs, detections = jax.device_get(infer(tested.detector, tested.variables, tested.batch))
  comparison.tensor('input', 'input', images[..., ::-1] if tested.case.bgr else images)
  for part, by_level in maps.items():
    for level, name in level_names(tested.case, part, list(by_level)).items():
      comparison.tensor(part, name, by_level[level])
  # The memory of padding is not used. Its position encodings are sines of values in the millions, which are noise.
  comparison.tensor('encoder', 'encoder/memory', outputs.memory, cells.valid)
  for name, value in named_tensors(outputs).items():
    comparison.tensor(name.partition('/')[0], name, value)
    # The pass with losses is recorded too if it differs in the last bits.
    comparison.tensor(name.partition('/')[0], f'train/{name}', value)
  for image in range(len(images)):
    comparison.detections('det', image, detections)


def named_tensors(outputs: Outputs) -> dict[str, np.ndarray]:
  """Outputs by their recorded names."""
  tensors = {}
  if outputs.proposal_logits is not None:
    tensors['encoder/cls'] = outputs.proposal_logits
    tensors['encoder/reg'] = outputs.proposal_changes
    tensors['encoder/box'] = outputs.proposal_boxes
  for layer, (logits, boxes) in enumerate(zip(outputs.logits, outputs.boxes, strict=True)):
    tensors |= {f'decoder/{layer}/cls': logits, f'decoder/{layer}/box': boxes}
  return tensors | {'decoder/last/cls': outputs.logits[-1], 'decoder/last/box': outputs.boxes[-1]}


@functools.partial(jax.jit, static_argnums=0)
def infer(
  detector: QueryDetector, variables: Variables, batch: Batch
) -> tuple[Float[Array, 'B H W 3'], dict[str, dict[int, Array]], Cells, Outputs, Detections]:
  """Runs the detector; returns normalised images, feature maps by part and level, cells, outputs and detections."""
  call = Record(detector.networks, variables)
  outputs = detector.outputs(call, batch)
  _, cells = call.of('encoder')[0].arguments
  maps = {network: call.result(network) for network in ('backbone', 'neck')}
  return detector.preprocess(batch), maps, cells, outputs, forward.predict(detector, variables, batch)
