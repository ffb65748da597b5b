"""Compares semantic and panoptic maps with a recorded run; runs inference of detectors with pyramid tasks only."""

import jax
import numpy as np
from jaxtyping import Array, Int

from jaxdet.evaluation.panoptic_result import panoptic_result
from jaxdet.models.detectors.pyramid_network import PyramidNetwork
from jaxdet.models.forward import Variables
from jaxdet.models.recording import Record
from jaxdet.ops.semantic_map import interpolated_logits
from jaxdet.parity.compare import PIXELS, Comparison
from jaxdet.parity.model_under_test import ModelUnderTest
from jaxdet.parity.names import level_names
from jaxdet.structures import Batch, Detections


def compare_inference(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of a recorded inference pass of tasks on the pyramid."""
  case = tested.case
  run = jax.jit(infer, static_argnums=0)
  image, maps, detections = jax.device_get(run(tested.detector, tested.variables, tested.batch))
  comparison.tensor('input', 'input', image[..., ::-1] if case.bgr else image)
  for part, by_level in maps.items():
    for level, name in level_names(case, part, list(by_level)).items():
      comparison.tensor(part, name, by_level[level])
  compare_pixels(tested, comparison, detections)


def infer(
  detector: PyramidNetwork, variables: Variables, batch: Batch
) -> tuple[Array, dict[str, dict[int, Array]], Detections]:
  """Returns the normalised images, feature maps by part and level, and predictions of the tasks."""
  call = Record(detector.networks, variables)
  detections = detector.predict(call, batch)
  return detector.preprocess(batch), {part: call.result(part) for part in ('backbone', 'neck')}, detections


def compare_pixels(tested: ModelUnderTest, comparison: Comparison, detections: Detections) -> None:
  """Adds the checks of semantic logits, classes and segments; none for a detector without a semantic task."""
  if detections.semantic is None:
    return
  case, batch = tested.case, tested.batch
  comparison.tensor('head', 'roi/semantic/logits_stride4', detections.semantic)
  for image, size in enumerate(batch.original_size.tolist()):
    logits = interpolated_logits(detections.semantic[image], batch.image.shape[1:3], size, size)
    comparison.tensor('head', f'sem_seg{image}/logits', logits.transpose(2, 0, 1))
    name = f'sem_seg{image}/argmax'
    classes = logits.argmax(-1)
    comparison.add('pixels', name, (classes != case.arrays[name]).mean(), PIXELS)
    if f'panoptic{image}/ids' in case.arrays:
      _compare_segments(tested, comparison, detections, image, classes)


def _compare_segments(
  tested: ModelUnderTest, comparison: Comparison, detections: Detections, image: int, classes: Int[np.ndarray, 'H W']
) -> None:
  """Adds the checks of an image's panoptic map and its segments."""
  settings = tested.config.model.test.panoptic
  ids, segments = panoptic_result(tested.batch, detections, image, classes, settings)
  ours = [(each.is_thing, each.label) for each in segments]
  recorded = [(each['isthing'], each['category_id']) for each in tested.case.meta['panoptic_segments'][image]]
  comparison.add('pixels', f'panoptic{image}/segments', float(ours != recorded), 0)
  name = f'panoptic{image}/ids'
  comparison.add('pixels', name, np.mean(ids != tested.case.arrays[name]), PIXELS)
