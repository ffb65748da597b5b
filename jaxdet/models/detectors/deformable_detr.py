"""Deformable DETR (Zhu et al., 2021): queries read a few points of a pyramid; plain, with refinement, or two-stage."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdet.models.detectors.query import Outputs, QueryDetector
from jaxdet.models.forward import Call
from jaxdet.models.transformers.cells import Cells, centres
from jaxdet.ops.per_image import per_image

# Of the box that a cell of the finest level proposes, 1 being the image's side; it doubles with every level.
SIDE = 0.05
PROPOSALS = 'proposals'  # name of the network of the first of two stages
MARGIN = 0.01  # such a box counts where all its four numbers keep this distance from 0 and 1


class DeformableDETR(QueryDetector):
  """A query detector on several levels.

  With a network `proposals` it has two stages: queries begin with the best boxes that cells of the memory propose.
  """

  def transform(self, call: Call, features: Float[Array, 'B S C'], cells: Cells) -> Outputs:
    """The memory, logits and boxes of every decoder layer, and those of every cell where there are two stages."""
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
  """The logits of the box of every cell, infinite where it does not count, and where it counts."""
  sides = [jnp.full((height * width, 2), SIDE * 2.0**level) for level, (height, width) in enumerate(cells.shapes)]
  points = centres(cells)
  boxes = jnp.concatenate([points, jnp.broadcast_to(jnp.concatenate(sides), points.shape)], -1)
  usable = cells.valid & ((boxes > MARGIN) & (boxes < 1 - MARGIN)).all(-1)
  # The logit of the largest number, so that the sigmoid is 1 there, as upstream has it.
  return jnp.where(usable[..., None], jnp.log(boxes / (1 - boxes)), jnp.inf), usable


def best_boxes(logits: Float[Array, 'B S K'], box_logits: Float[Array, 'B S 4'], count: int) -> Float[Array, 'B Q 4']:
  """The boxes of the cells whose first class logit is largest; fewer than `count` where there are fewer cells.

  All objects of the first stage are of class 0, so the other classes say nothing. Without gradient.
  """

  def one_image(scores, box_logits):
    _, index = jax.lax.top_k(scores, min(count, len(scores)))
    return box_logits[index]

  return jax.lax.stop_gradient(per_image(one_image)(logits[..., 0], box_logits))
