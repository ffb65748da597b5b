"""What the detectors of the R-CNN family share: networks, their variables, features, proposals, pooled regions."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.losses.class_loss import ClassLoss
from jaxdet.models.detectors import roi, rpn
from jaxdet.models.detectors.forward import Forward, Losses, Variables
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.models.detectors.rpn import Levels, Proposals
from jaxdet.models.detectors.trainable import all_but_frozen_stages
from jaxdet.ops.roi_align import multilevel_roi_align
from jaxdet.structures import Batch

NO_IMAGE = 2**31 - 1  # in the place of an image's position, where a random key is the whole batch's


@dataclasses.dataclass(frozen=True, eq=False)
class RCNN:
  """The common part; `loss` and `predict` are each method's own.

  Variables are nested as variables[collection][network][...], with the keys of `networks`:
  `backbone`, `neck`, `rpn_head` (not in Fast R-CNN), `shared_head` (C4 only) or `roi_pool` (deformable pooling only),
  then box and mask heads.
  """

  settings: FrozenConfigDict  # config.model, with the number of classes
  networks: Mapping[str, nn.Module]
  class_loss: ClassLoss | None  # of every box head; None where there is none

  def init(self, key: Array) -> Variables:
    """Random variables, {'params': .., 'constants': .., 'batch_stats': ..}; no shape depends on a canvas."""
    variables: Variables = {'params': {}, 'constants': {}, 'batch_stats': {}}
    keys = iter(jax.random.split(key, len(self.networks)))

    def initialize(network: str, *args):
      out, created = self.networks[network].init_with_output(next(keys), *args, train=False)
      for collection, value in created.items():
        variables[collection][network] = value
      return out

    def pool(size: int) -> Float[Array, '1 1 S S C']:
      return self._pool(pyramid, jnp.zeros((1, 1, 4)), size)

    images = jnp.zeros((1, 64, 64, 3), self.settings.dtype)
    pyramid = initialize('neck', initialize('backbone', images))
    shared = None
    for network in self.networks:
      if network == 'rpn_head':
        initialize(network, pyramid)
      elif network == 'shared_head':
        shared = initialize(network, pool(self.settings.roi.box_head.roi_size))
      elif network == 'roi_pool':
        initialize(network, self._pooled_levels(pyramid), jnp.zeros((1, 1, 4)))
      elif network.startswith('box_head'):
        initialize(network, pool(self.settings.roi.box_head.roi_size) if shared is None else shared)
        if self.class_loss.state:
          variables['batch_stats'][class_loss_name(network)] = self.class_loss.state
      elif network.startswith('mask_head'):
        pooled = pool(self.settings.roi.mask_head.roi_size) if shared is None else shared
        initialize(network, pooled, jnp.zeros((1, 1), jnp.int32))
    return variables

  def trainable(self, params: Variables) -> Variables:
    """A tree of bool like `params`: False for the backbone's frozen stages.

    On a trained model's box heads a calibration, or a classifier that is retrained, is all that is trained.
    """
    alone = self._trained_alone()
    if not alone:
      return all_but_frozen_stages(params, self.settings.backbone.frozen_stages)

    def is_trained(path, _):
      network, part, *_ = (entry.key for entry in path)
      return network.startswith('box_head') and part == alone

    return jax.tree_util.tree_map_with_path(is_trained, params)

  def _trained_alone(self) -> str:
    """The part of the box heads that is trained while all else is fixed, '' if there is no such."""
    box_head = self.settings.roi.box_head if 'roi' in self.settings else None
    if box_head is None or not (box_head.calibration or box_head.retrain_classifier):
      return ''
    return 'calibration' if box_head.calibration else 'logits'

  def forward(self, variables: Variables, train: bool) -> Forward:
    """The networks with these variables."""
    return Forward(self.networks, variables, train)

  def pyramid(self, forward: Forward, batch: Batch) -> Levels:
    """The features {level: [B, H, W, C]} that the heads see."""
    settings = self.settings
    images = normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)
    return forward('neck', forward('backbone', images))

  def training_proposals(
    self, forward: Forward, pyramid: Levels, batch: Batch, keys: Array
  ) -> tuple[Losses, Proposals]:
    """The region proposal network's losses, and its proposals without gradient.

    Without such a network: no losses, and the batch's own proposals.
    """
    if 'rpn_head' not in self.networks:
      return {}, rpn.given(batch)
    logits, deltas = forward('rpn_head', pyramid)
    losses = rpn.losses(logits, deltas, batch, keys, self.settings.rpn)
    return losses, rpn.propose(logits, deltas, batch.image_size, self.settings.rpn, train=True)

  def proposals(self, forward: Forward, pyramid: Levels, batch: Batch) -> Proposals:
    """The proposals to be classified in inference."""
    if 'rpn_head' not in self.networks:
      return rpn.given(batch)
    logits, deltas = forward('rpn_head', pyramid)
    return rpn.propose(logits, deltas, batch.image_size, self.settings.rpn, train=False)

  def box_features(self, forward: Forward, pyramid: Levels, boxes: Float[Array, 'B R 4']) -> Float[Array, 'B R S S C']:
    """What the box head sees of each region."""
    pooled = self.pooled_boxes(forward, pyramid, boxes)
    return forward('shared_head', pooled) if 'shared_head' in self.networks else pooled

  def pooled_boxes(self, forward: Forward, pyramid: Levels, boxes: Float[Array, 'B R 4']) -> Float[Array, 'B R S S C']:
    """Regions as they are pooled for the box head or, before it, the shared head."""
    if 'roi_pool' in self.networks:
      return forward('roi_pool', self._pooled_levels(pyramid), boxes)
    return self._pool(pyramid, boxes, self.settings.roi.box_head.roi_size)

  @jax.named_scope('box_losses')
  def box_losses(
    self,
    forward: Forward,
    box_head: str,
    features: Float[Array, 'B R S S C'],
    regions: roi.RoITargets,
    batch: Batch,
    settings: FrozenConfigDict,
    key: Array,
  ) -> tuple[Losses, tuple[Float[Array, 'B R C'], Float[Array, 'B R K|1 4']]]:
    """The losses of a box head on regions, and its logits and deltas.

    Args:
      forward, features, regions, batch: of this step.
      box_head: name of the network.
      settings: `settings.roi`, in a cascade that of the stage.
      key: random key of the step, for class losses that draw.
    """
    logits, deltas = forward(box_head, features)
    name = class_loss_name(box_head)
    key = jax.random.fold_in(key, NO_IMAGE)
    loss_class, state = self.class_loss.loss(logits, regions.labels, regions.valid, key, forward.state(name))
    forward.move(name, jax.lax.stop_gradient(state))
    likeliest = self.class_loss.scores(jax.lax.stop_gradient(logits)).argmax(-1)
    positives = regions.positive.sum()
    losses = {
      'loss_class': loss_class,
      'loss_box': roi.box_loss(deltas, regions, batch, settings),
      'accuracy': (regions.positive & (likeliest == regions.labels)).sum() / jnp.maximum(positives, 1),  # of positives
      'positives': positives / len(batch.image),
    }
    return losses, (logits, deltas)

  def mask_features(self, forward: Forward, pyramid: Levels, boxes: Float[Array, 'B R 4']) -> Float[Array, 'B R S S C']:
    """What the mask head sees of each region: with a shared head the same as the box head."""
    if 'shared_head' in self.networks:
      return self.box_features(forward, pyramid, boxes)
    return self._pool(pyramid, boxes, self.settings.roi.mask_head.roi_size)

  def _pool(self, pyramid: Levels, boxes: Float[Array, 'B R 4'], size: int) -> Float[Array, 'B R S S C']:
    settings = self.settings.roi
    return multilevel_roi_align(
      self._pooled_levels(pyramid),
      boxes,
      output_size=size,
      sampling_ratio=settings.sampling_ratio,
      aligned=settings.aligned,
      canonical_size=settings.canonical_size,
      canonical_level=settings.canonical_level,
    )

  def _pooled_levels(self, pyramid: Levels) -> Levels:
    return {level: pyramid[level] for level in self.settings.roi.levels}


def class_loss_name(box_head: str) -> str:
  """Under which a box head's class loss keeps its state: 'class_loss0' for 'box_head0'."""
  return box_head.replace('box_head', 'class_loss')


def image_keys(key: Array, batch: Batch) -> Array:
  """A random key for each image, [B], which depends on its position in the batch alone."""
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch.image.shape[0]))
