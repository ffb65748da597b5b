"""A region proposal network as a detector of its own (Ren et al., 2015): boxes of objects, without classes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.models.detectors.forward import Losses, Variables
from jaxdet.models.detectors.rcnn import RCNN, image_keys
from jaxdet.structures import Batch, Detections


class ProposalNetwork(RCNN):
  """Backbone, neck and `rpn_head` alone."""

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
    """The two losses of the head, and the new `batch_stats`; as `MaskRCNN.loss`."""
    forward = self.forward(variables, train=True)
    losses, _ = self.training_proposals(forward, self.pyramid(forward, batch), batch, image_keys(key, batch))
    return losses, forward.new_state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """The proposals, best first, as detections of class 0 with the probability that they are an object."""
    forward = self.forward(variables, train=False)
    proposals = self.proposals(forward, self.pyramid(forward, batch), batch)
    return Detections(
      boxes=proposals.boxes,
      scores=jnp.where(proposals.valid, jax.nn.sigmoid(proposals.logits), 0.0),
      labels=jnp.zeros(proposals.valid.shape, jnp.int32),
      valid=proposals.valid,
      masks=None,
      incomplete=jnp.zeros(proposals.valid.shape[0], bool),
    )
