"""Double-Head box stage (Wu et al., 2020): boxes are predicted from larger RoIs than classes.

`settings` is `config.model.roi`; `box_scale` is the factor of the RoIs' sides.
"""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float

from jaxdet.models.box_stages.standard import SHARED_HEAD, StandardStage
from jaxdet.models.forward import Call
from jaxdet.models.poolers.roi_align import RoIAlign
from jaxdet.ops.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh

# A side of exactly a level's least size stays on this level when it is rounded.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class DoubleStage(StandardStage):
  """A standard stage whose head gets two features, of every RoI and of the same RoI enlarged.

  Raises:
    ValueError: RoIs are pooled by another pooler than RoIAlign, or have a shared head (C4).
  """

  def __post_init__(self):
    if SHARED_HEAD in self.networks or not isinstance(self.pooler, RoIAlign):
      raise ValueError(
        "the stage 'double' pools features of a pyramid twice: set roi.pooler.name to 'roi_align' and "
        "roi.shared_head to ''"
      )

  def features(self, call: Call, pyramid: Mapping[int, Array], rois: Float[Array, 'B R 4']) -> tuple[Array, Array]:
    """Inputs of the head, for classes and for boxes, [B, R, S, S, C] each; both from the RoI's own level."""
    scale = self.settings.box_scale
    canonical_size = scale * (1 - ROUNDING) * self.pooler.canonical_size
    enlarged = dataclasses.replace(self.pooler, canonical_size=canonical_size)
    return self.pooler(call, pyramid, rois), enlarged(call, pyramid, resized(rois, scale))


def resized(boxes: Float[Array, '... 4'], scale: float) -> Float[Array, '... 4']:
  """Multiplies the sides of boxes; centres stay, and nothing is clipped."""
  cxcywh = xyxy_to_cxcywh(boxes)
  return cxcywh_to_xyxy(cxcywh.at[..., 2:].multiply(scale))
