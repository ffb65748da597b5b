"""Compares the inference of dense detectors with a recorded run."""

import flax.struct
import jax
import numpy as np
from jaxtyping import Array, Float

from jaxdet.models.detectors.dense import DenseDetector
from jaxdet.models.forward import Variables
from jaxdet.models.recording import Record
from jaxdet.parity.compare import Comparison
from jaxdet.parity.model_under_test import ModelUnderTest
from jaxdet.parity.names import level_names
from jaxdet.structures import Batch, Detections, ImageMasks

NAMES = {
  'logits': 'head/cls',
  'box_regression': 'head/reg',
  'centerness': 'head/centerness',
  'coefficients': 'head/coeff',
  'top_left_logits': 'head/tl_heat',
  'top_left_embedding': 'head/tl_emb',
  'top_left_offsets': 'head/tl_off',
  'bottom_right_logits': 'head/br_heat',
  'bottom_right_embedding': 'head/br_emb',
  'bottom_right_offsets': 'head/br_off',
}


@flax.struct.dataclass
class Inference:
  """Intermediate tensors from images to detections."""

  input: Float[Array, 'B H W 3']
  maps: dict[str, dict[int, Array]]  # by recorded part and level
  detections: Detections


def compare_inference(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of all recorded tensors of an inference pass."""
  case = tested.case
  made = jax.device_get(jax.jit(infer, static_argnums=0)(tested.detector, tested.variables, tested.batch))
  if case.program == 'mmdet' and tested.config.model.head.name == 'fcos':
    made.maps.update(recorded_distances(made.maps['head/reg'], tested.config.model.head.distances))
  comparison.tensor('input', 'input', made.input[..., ::-1] if case.bgr else made.input)
  for part, maps in made.maps.items():
    for level, name in level_names(case, part, list(maps)).items():
      comparison.tensor('head' if '/' in part else part, name, maps[level])
  for image in range(len(made.input)):
    rows = comparison.detections('det', image, made.detections)
    if isinstance(made.detections.masks, ImageMasks) and (rows >= 0).all():
      found = made.detections.masks.probabilities[image][made.detections.valid[image]][rows]
      comparison.tensor('head', f'mask_head/0/{image}', found.transpose(1, 2, 0))


def recorded_distances(boxes: dict[int, np.ndarray], kind: str) -> dict[str, dict[int, np.ndarray]]:
  """Box regression as mmdetection's FCOS network returns it: in pixels, in training in strides."""
  if kind == 'log_pixels':
    return {'head/reg': {level: np.exp(x) for level, x in boxes.items()}}
  strides = {level: np.maximum(x, 0) for level, x in boxes.items()}
  return {'train/head/reg': strides, 'head/reg': {level: x * 2**level for level, x in strides.items()}}


def infer(detector: DenseDetector, variables: Variables, batch: Batch) -> Inference:
  """Runs a detector on images."""
  call = Record(detector.networks, variables)
  detections = detector.predict(call, batch)
  maps = {NAMES[name]: by_level for name, by_level in call.result('head').items()}
  maps = {'backbone': call.result('backbone'), 'neck': call.result('neck'), **maps}
  return Inference(detector.preprocess(batch), maps, detections)
