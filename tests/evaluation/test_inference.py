"""A detector over batches."""

import dataclasses

import numpy as np

from jaxdet.evaluation.inference import infer
from jaxdet.models.initialize import initialize
from toy_detector import ToyDataset, ToyDetector


@dataclasses.dataclass(frozen=True, eq=False)
class Traced(ToyDetector):
  """Keeps the canvases for which its prediction was traced."""

  canvases: list = dataclasses.field(default_factory=list)

  def predict(self, variables, batch):
    self.canvases.append(batch.image.shape[1:3])
    return super().predict(variables, batch)


def test_two_canvases_are_compiled_once_each_and_a_second_epoch_compiles_none():
  detector, whole = Traced(), ToyDataset().batch(0)
  narrow = whole.replace(image=whole.image[:, :, :4])
  variables = initialize(detector, np.array([0, 1], np.uint32))
  for _ in range(2):
    found = [detections for _, detections in infer(detector, variables, [whole, narrow, whole])]
    np.testing.assert_array_equal(found[0].scores, found[2].scores)
    assert (found[0].scores != found[1].scores).any()
  assert detector.canvases == [(8, 8), (8, 4)]
