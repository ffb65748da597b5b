"""DETR (Carion et al., 2020): learned queries attend to one feature map in a transformer."""

from jaxtyping import Array, Float

from jaxdet.models.detectors.query import Outputs, QueryDetector
from jaxdet.models.forward import Call
from jaxdet.models.transformers.cells import Cells


class DETR(QueryDetector):
  """A query detector on the backbone's last stage."""

  def transform(self, call: Call, features: Float[Array, 'B S C'], cells: Cells) -> Outputs:
    """Memory, and logits and boxes of every decoder layer."""
    memory = call('encoder', features, cells)
    return Outputs(memory, *call('decoder', memory, cells))
