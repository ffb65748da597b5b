"""Query detectors: learned queries attend to the image in a transformer, and are matched one-to-one with objects."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.losses.federated import sample_classes
from jaxdet.models.detectors.set_prediction import assign_queries, detect, set_losses
from jaxdet.models.forward import Call, Losses
from jaxdet.models.preprocess import Preprocess
from jaxdet.models.transformers.cells import Cells, cells_of
from jaxdet.structures import Batch, Detections


@flax.struct.dataclass
class Outputs:
  """Outputs of the networks; boxes are (cx, cy, width, height) in image sides."""

  memory: Float[Array, 'B S C']
  logits: Float[Array, 'L B Q K']
  boxes: Float[Array, 'L B Q 4']
  # First stage of two, for every cell.
  proposal_logits: Float[Array, 'B S K'] | None = None
  proposal_changes: Float[Array, 'B S 4'] | None = None  # added to the logits of the cell's box
  proposal_boxes: Float[Array, 'B S 4'] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class QueryDetector:
  """A detector with `backbone`, `neck`, `encoder`, `decoder` and the networks that a method adds."""

  preprocess: Preprocess
  settings: FrozenConfigDict  # config.model, with the number of classes
  networks: Mapping[str, nn.Module]
  sample_classes: Callable = sample_classes  # draws the classes of a federated loss

  def transform(self, call: Call, features: Float[Array, 'B S C'], cells: Cells) -> Outputs:
    """Outputs of the method's networks for the cells' features."""
    raise NotImplementedError

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """Losses of every decoder layer, all to be summed.

    The last layer's losses are `loss_class`, `loss_box` and `loss_giou`. The others end with the number of their layer,
    or with `proposals` (first stage, where every object has class 0).
    """
    decoder_key, proposal_key = jax.random.split(key)
    outputs, settings, losses = self.outputs(call, batch), self.settings, {}
    labels = batch.objects.labels
    of_layers = self._set_losses(call, outputs.logits, outputs.boxes, batch, labels, decoder_key)
    for name, values in of_layers.items():
      last = len(values) - 1
      for layer in range(last + 1):
        end = '' if layer == last else f'_{layer}'
        losses[f'loss_{name}{end}'] = settings.loss_weights[name] * values[layer]
    if outputs.proposal_logits is not None:
      logits, boxes = outputs.proposal_logits[None], outputs.proposal_boxes[None]
      of_cells = self._set_losses(call, logits, boxes, batch, jnp.zeros_like(labels), proposal_key)
      for name, values in of_cells.items():
        losses[f'loss_{name}_proposals'] = settings.encoder_proposals.loss_weights[name] * values[0]
    return losses

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Detections of the last decoder layer, in pixels of the resized image, without masks."""
    outputs = self.outputs(call, batch)
    best = partial(detect, settings=self.settings)
    return call.step('detections', best, outputs.logits[-1], outputs.boxes[-1], batch.image_size, gradient=0)

  def outputs(self, call: Call, batch: Batch) -> Outputs:
    """Outputs of all networks."""
    images = self.preprocess(batch)
    pyramid = call('neck', call('backbone', images))
    features, cells = cells_of(pyramid, batch.image_size, images.shape[1:3], self.settings.position_offset)
    return self.transform(call, features, cells)

  def _set_losses(
    self, call: Call, logits: Float[Array, 'L B Q K'], boxes: Float[Array, 'L B Q 4'], batch: Batch, labels, key: Array
  ) -> dict[str, Float[Array, 'L']]:
    """Losses of L layers; `labels` [B, N] replace the batch's."""
    objects = batch.objects.replace(labels=labels, masks=None)
    assign = partial(assign_queries, settings=self.settings)
    found = call.step('assignment', assign, logits, boxes, objects, batch.image_size, gradient=0)
    return set_losses(logits, boxes, objects, batch.image_size, found, key, self.settings, self.sample_classes)
