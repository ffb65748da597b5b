"""Outputs of a box stage."""

from typing import Any

import flax.struct
from jaxtyping import Array, Float


@flax.struct.dataclass
class BoxOutputs:
  """Class logits and box regression of R RoIs for each of B images."""

  logits: Float[Array, 'B R C']
  # Arrays [B, R, ...] that the stage decodes, such as deltas [B, R, K or 1, 4]; None: RoIs stay where they are.
  regression: Any
