"""Deformable DETR (Zhu et al., 2021): queries attend to a few points of a pyramid; plain, refined, or two-stage."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.models.detectors.query import Outputs, QueryDetector
from jaxdet.models.forward import Call
from jaxdet.models.transformers.cells import Cells, centres
from jaxdet.ops.per_image import per_image

# Side of a cell's proposal box on the finest level, in image sides; it doubles with every level.
SIDE = 0.05
PROPOSALS = 'proposals'  # name of the network of the first of two stages
MARGIN = 0.01  # a proposal box is valid if its four coordinates lie in (MARGIN, 1 - MARGIN)


class DeformableDETR(QueryDetector):
  """A query detector on several levels.

  With a network `proposals` it has two stages: queries are initialised with the best boxes proposed by memory cells.
  """

  def transform(self, call: Call, features: Float[Array, 'B S C'], cells: Cells) -> Outputs:
    """Memory, logits and boxes of every decoder layer, and of every cell if there are two stages."""
    memory = call('encoder', features, cells)
    if PROPOSALS not in self.networks:
      return Outputs(memory, *call('decoder', memory, cells, None))
    own, usable = cell_boxes(cells)
    proposal_logits, changes = call(PROPOSALS, memory, usable)
    box_logits = own + changes
    best = best_boxes(proposal_logits, box_logits, self.settings.decoder.queries)
    logits, boxes = call('decoder', memory, cells, best)
    return Outputs(memory, logits, boxes, proposal_logits, changes, jax.nn.sigmoid(box_logits))


def cell_boxes(cells: Cells) -> tuple[Float[Array, 'B S 4'], Bool[Array, 'B S']]:
  """Logits of every cell's proposal box, infinite if it is not valid, and the mask of valid cells."""
  sides = [jnp.full((height * width, 2), SIDE * 2.0**level) for level, (height, width) in enumerate(cells.shapes)]
  points = centres(cells)
  boxes = jnp.concatenate([points, jnp.broadcast_to(jnp.concatenate(sides), points.shape)], -1)
  usable = cells.valid & ((boxes > MARGIN) & (boxes < 1 - MARGIN)).all(-1)
  # Infinite logits, so that the sigmoid is 1, as upstream.
  return jnp.where(usable[..., None], jnp.log(boxes / (1 - boxes)), jnp.inf), usable


def best_boxes(logits: Float[Array, 'B S K'], box_logits: Float[Array, 'B S 4'], count: int) -> Float[Array, 'B Q 4']:
  """Boxes of the `count` cells with the largest first class logit; of all cells if there are fewer.

  In the first stage all objects have class 0, so the other logits are not used. Without gradient.
  """

  def one_image(scores, box_logits):
    _, index = jax.lax.top_k(scores, min(count, len(scores)))
    return box_logits[index]

  return jax.lax.stop_gradient(per_image(one_image)(logits[..., 0], box_logits))
