"""Faster and Mask R-CNN on a feature pyramid: the networks, and the three functions of a detector."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import FrozenConfigDict

from jaxdet.models.backbones import resnet
from jaxdet.models.detectors import roi, rpn
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.ops.roi_align import multilevel_roi_align
from jaxdet.structures import Batch, Detections

Variables = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class MaskRCNN:
  """A two-stage detector; `mask_head` is None for Faster R-CNN.

  Variables are nested as variables[collection][network][...], with the field names below for networks.
  """

  settings: FrozenConfigDict  # config.model, with the number of classes
  backbone: nn.Module
  neck: nn.Module
  rpn_head: nn.Module
  box_head: nn.Module
  mask_head: nn.Module | None

  def init(self, key: Array) -> Variables:
    """Random variables, {'params': .., 'constants': .., 'batch_stats': ..}; no shape depends on a canvas."""
    variables: Variables = {'params': {}, 'constants': {}, 'batch_stats': {}}
    keys = iter(jax.random.split(key, 5))

    def initialize(network: str, *args, **kwargs):
      out, created = getattr(self, network).init_with_output(next(keys), *args, **kwargs)
      for collection, value in created.items():
        variables[collection][network] = value
      return out

    images = jnp.zeros((1, 64, 64, 3), self.settings.dtype)
    pyramid = initialize('neck', initialize('backbone', images, train=False))
    initialize('rpn_head', pyramid)
    regions = jnp.zeros((1, 1, 4))
    initialize('box_head', self._pool(pyramid, regions, self.settings.roi.box_head.roi_size))
    if self.mask_head is not None:
      pooled = self._pool(pyramid, regions, self.settings.roi.mask_head.roi_size)
      initialize('mask_head', pooled, jnp.zeros((1, 1), jnp.int32))
    return variables

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[dict[str, Float[Array, '']], Variables]:
    """Losses and log values by name (those to be summed begin with `loss_`), and the new `batch_stats`.

    Args:
      variables: as `init` makes them.
      batch: B images with ground truth.
      key: chooses anchors and regions; an image's own key depends on its position in the batch alone.
    """
    pyramid, state = self.pyramid(variables, batch, train=True)
    logits, deltas = self._apply('rpn_head', variables, pyramid)
    image_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch.image.shape[0]))
    rpn_keys, roi_keys = jnp.moveaxis(jax.vmap(jax.random.split)(image_keys), 1, 0)
    losses = rpn.losses(logits, deltas, batch, rpn_keys, self.settings.rpn)

    settings = self.settings.roi
    proposals = rpn.propose(logits, deltas, batch.image_size, self.settings.rpn, train=True)
    regions = roi.targets(proposals, batch, roi_keys, self.settings.num_classes, settings)
    pooled = self._pool(pyramid, regions.boxes, settings.box_head.roi_size)
    losses |= roi.box_losses(*self._apply('box_head', variables, pooled), regions, batch, settings)
    if self.mask_head is not None:
      regions = roi.mask_rows(regions, settings)
      pooled = self._pool(pyramid, regions.boxes, settings.mask_head.roi_size)
      mask_logits = self._apply('mask_head', variables, pooled, regions.labels)
      losses['loss_mask'] = roi.mask_loss(mask_logits, regions, batch)
    return losses, state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """Detections in pixels of the resized image, with mask probabilities where there is a mask head."""
    pyramid, _ = self.pyramid(variables, batch, train=False)
    logits, deltas = self._apply('rpn_head', variables, pyramid)
    proposals = rpn.propose(logits, deltas, batch.image_size, self.settings.rpn, train=False)
    settings = self.settings.roi
    pooled = self._pool(pyramid, proposals.boxes, settings.box_head.roi_size)
    class_logits, box_deltas = self._apply('box_head', variables, pooled)
    detections = roi.detect(class_logits, box_deltas, proposals, batch.image_size, settings.coder, self.settings.test)
    if self.mask_head is None:
      return detections
    pooled = self._pool(pyramid, detections.boxes, settings.mask_head.roi_size)
    mask_logits = self._apply('mask_head', variables, pooled, detections.labels)
    return detections.replace(masks=jax.nn.sigmoid(mask_logits))

  def trainable(self, params: Variables) -> Variables:
    """A tree of bool like `params`: False for the backbone's frozen stages."""
    frozen_stages = self.settings.backbone.frozen_stages

    def is_trained(path, _):
      names = tuple(entry.key for entry in path)
      return not (names[0] == 'backbone' and resnet.is_frozen(names[1:], frozen_stages))

    return jax.tree_util.tree_map_with_path(is_trained, params)

  def pyramid(self, variables: Variables, batch: Batch, train: bool) -> tuple[dict[int, Array], Variables]:
    """The feature pyramid {level: [B, H, W, C]} of a batch, and the `batch_stats` that training moved."""
    settings = self.settings
    images = normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)
    mutable = ['batch_stats'] if train else []
    features, moved = self.backbone.apply(_of('backbone', variables), images, train=train, mutable=mutable)
    state = {'batch_stats': {'backbone': moved['batch_stats']}} if moved else {}
    return self._apply('neck', variables, features), state

  def _apply(self, network: str, variables: Variables, *args):
    return getattr(self, network).apply(_of(network, variables), *args)

  def _pool(self, pyramid, regions: Float[Array, 'B R 4'], size: int) -> Float[Array, 'B R S S C']:
    settings = self.settings.roi
    return multilevel_roi_align(
      {level: pyramid[level] for level in settings.levels},
      regions,
      output_size=size,
      sampling_ratio=settings.sampling_ratio,
      aligned=settings.aligned,
      canonical_size=settings.canonical_size,
      canonical_level=settings.canonical_level,
    )


def _of(network: str, variables: Variables) -> Variables:
  return {collection: value[network] for collection, value in variables.items() if network in value}
