"""What query detectors share: their variables, their losses over decoder layers, their detections."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.losses.federated import sample_classes
from jaxdet.models.detectors.forward import Forward, Losses, Variables
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.models.detectors.set_prediction import detect, set_losses
from jaxdet.models.detectors.trainable import all_but_frozen_stages
from jaxdet.models.transformers.cells import Cells, cells_of
from jaxdet.structures import Batch, Detections

Call = Callable[..., Array]  # a network by its name, as `Forward`


@flax.struct.dataclass
class Outputs:
  """What the networks make of a batch; boxes are (cx, cy, width, height), 1 being the image's side."""

  memory: Float[Array, 'B S C']
  logits: Float[Array, 'L B Q K']
  boxes: Float[Array, 'L B Q 4']
  # Of the first of two stages: every cell's.
  proposal_logits: Float[Array, 'B S K'] | None = None
  proposal_changes: Float[Array, 'B S 4'] | None = None  # of its own box, before the sigmoid
  proposal_boxes: Float[Array, 'B S 4'] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class QueryDetector:
  """Networks `backbone`, `neck`, `encoder`, `decoder` and what a method adds; see docs/design.md, 'A detector'."""

  settings: FrozenConfigDict  # config.model, with the number of classes
  networks: Mapping[str, nn.Module]
  sample_classes: Callable = sample_classes  # how a federated loss draws them

  def transform(self, call: Call, features: Float[Array, 'B S C'], cells: Cells) -> Outputs:
    """What the method makes of the cells' features."""
    raise NotImplementedError

  def init(self, key: Array) -> Variables:
    """Random variables, {'params': .., 'constants': .., 'batch_stats': ..}; no shape depends on a canvas."""
    variables: Variables = {'params': {}, 'constants': {}, 'batch_stats': {}}

    def initialize(name: str, *args):
      network_key = jax.random.fold_in(key, len(variables['params']))
      out, created = self.networks[name].init_with_output(network_key, *args, train=False)
      for collection, value in created.items():
        variables[collection][name] = value
      return out

    self.outputs(initialize, jnp.zeros((1, 64, 64, 3), self.settings.dtype), jnp.array([[64, 64]]))
    return variables

  def trainable(self, params: Variables) -> Variables:
    """A tree of bool like `params`: False for the backbone's frozen stages."""
    return all_but_frozen_stages(params, self.settings.backbone.frozen_stages)

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
    """The losses of every decoder layer, all to be summed, and the new `batch_stats`.

    Those of the last layer have plain names, `loss_class`, `loss_box` and `loss_giou`; at the end of the others is
    the number of their layer, or `proposals`, for which every object is of class 0.

    Args:
      variables: as `init` makes them.
      batch: B images with ground truth.
      key: for dropout, and class losses that draw.
    """
    dropout, decoder_key, proposal_key = jax.random.split(key, 3)
    forward = Forward(self.networks, variables, train=True, dropout=dropout)
    made = self.outputs(forward, self.images(batch), batch.image_size)
    settings, losses = self.settings, {}
    of_layers = set_losses(made.logits, made.boxes, batch, batch.labels, decoder_key, settings, self.sample_classes)
    for name, values in of_layers.items():
      last = len(values) - 1
      for layer in range(last + 1):
        end = '' if layer == last else f'_{layer}'
        losses[f'loss_{name}{end}'] = settings.loss_weights[name] * values[layer]
    if made.proposal_logits is not None:
      one_class = jnp.zeros_like(batch.labels)
      of_cells = set_losses(
        made.proposal_logits[None],
        made.proposal_boxes[None],
        batch,
        one_class,
        proposal_key,
        settings,
        self.sample_classes,
      )
      for name, values in of_cells.items():
        losses[f'loss_{name}_proposals'] = settings.proposals.loss_weights[name] * values[0]
    return losses, forward.new_state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """Detections of the last layer in pixels of the resized image, without masks."""
    made = self.outputs(Forward(self.networks, variables, train=False), self.images(batch), batch.image_size)
    return detect(made.logits[-1], made.boxes[-1], batch.image_size, self.settings)

  def images(self, batch: Batch) -> Float[Array, 'B H W 3']:
    """Normalised images."""
    settings = self.settings
    return normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)

  def outputs(self, call: Call, images: Float[Array, 'B H W 3'], image_size: Int[Array, 'B 2']) -> Outputs:
    """What the networks make of normalised images.

    Args:
      call: runs a network.
      images: padded to one canvas.
      image_size: (height, width) without the padding, in pixels.
    """
    pyramid = call('neck', call('backbone', images))
    features, cells = cells_of(pyramid, image_size, images.shape[1:3], self.settings.position_offset)
    return self.transform(call, features, cells)
