"""Grid points task: boxes of detections from heat maps of grid points (Grid R-CNN, Lu et al., 2019)."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.forward import Call, Losses
from jaxdet.models.poolers.pooler import Pooler
from jaxdet.models.random_keys import image_keys
from jaxdet.models.roi_targets import RoITargets
from jaxdet.ops import boxes as box_ops
from jaxdet.ops.grid_points import boxes_of_points, grid_targets
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Batch, Detections

GRID_HEAD = 'grid_head'


@dataclasses.dataclass(frozen=True, eq=False)
class GridPointsTask:
  """Grid points from one network, for a detector with one box stage."""

  settings: FrozenConfigDict  # config.model.roi.grid_points
  networks: Mapping[str, nn.Module]
  pooler: Pooler
  grid_size: int  # points per side of the grid
  count: int | None  # number of RoIs per image in training, the first ones; None: all

  def loss(
    self,
    call: Call,
    stage: int,
    pyramid: Mapping[int, Array],
    features: Array,
    targets: RoITargets,
    batch: Batch,
    key: Array,
  ) -> Losses:
    """`loss_grid`: binary cross entropy, mean over cells and positives, for each form of the heat maps.

    Upstream samples positives over the images of a GPU, and averages there. Here the first ones of each image are used;
    positives are in random order, so this is a random sample, too.

    Args:
      call: runs networks.
      stage: number of the box stage; there is one.
      pyramid: features of the neck.
      features: of the box head; not used.
      targets: RoIs.
      batch: ground truth.
      key: random key of the RoIs' jitter.
    """
    del stage, features
    rois = targets.leading(self.count)
    move = per_image(partial(jittered, amplitude=self.settings.jitter))
    moved = call.step('jitter of RoIs', move, rois.boxes, batch.image_size, image_keys(key, batch), gradient=0)
    logits = call.on_valid_rows(GRID_HEAD, rois.positive, self.pooler(call, pyramid, moved))
    gt_boxes = jnp.take_along_axis(batch.objects.boxes, rois.gt_index[..., None], axis=1)
    each = partial(grid_loss, grid_size=self.grid_size, radius=self.settings.radius)
    loss = call.step('grid loss', each, logits, moved, gt_boxes, rois.positive, gradient=1)
    return {'loss_grid': self.settings.loss_weight * loss}

  def predict(
    self,
    call: Call,
    pyramid: Mapping[int, Array],
    box_features,
    detections: Detections,
    image_size: Int[Array, 'B 2'],
  ) -> Detections:
    """Replaces the boxes of detections by those of their grid points; scores and order stay.

    Args:
      call: runs networks.
      pyramid: features of the neck.
      box_features: of the box head; not used.
      detections: their boxes are the RoIs.
      image_size: (height, width) in pixels.
    """
    del box_features
    pooled = self.pooler(call, pyramid, detections.boxes)
    logits = call.on_valid_rows(GRID_HEAD, detections.valid, pooled)[:, :, 0]
    found = call.step('boxes of points', points_to_boxes, logits, detections.boxes, gradient=0)
    if self.settings.clip:
      found = jax.vmap(box_ops.clip)(found, image_size)
    return detections.replace(boxes=jnp.where(detections.valid[..., None], found, 0.0))


def jittered(
  rois: Float[Array, 'R 4'], image_size: Int[Array, '2'], key: Array, amplitude: float
) -> Float[Array, 'R 4']:
  """Changes centres and sides of an image's RoIs at random, by at most `amplitude` times the sides.

  Changed RoIs are clipped to the centre of the last pixel, as upstream. Amplitude 0 changes nothing.
  """
  if not amplitude:
    return rois
  change = jax.random.uniform(key, rois.shape, rois.dtype, -amplitude, amplitude)
  centres, sides = jnp.split(box_ops.xyxy_to_cxcywh(rois), 2, -1)
  moved = jnp.concatenate([centres + sides * change[:, :2], sides * (1 + change[:, 2:])], -1)
  return box_ops.clip(box_ops.cxcywh_to_xyxy(moved), image_size - 1)


@jax.named_scope('grid_loss')
def grid_loss(
  logits: Float[Array, 'B R F S S P'],
  rois: Float[Array, 'B R 4'],
  gt_boxes: Float[Array, 'B R 4'],
  positive: Bool[Array, 'B R'],
  grid_size: int,
  radius: int,
) -> Float[Array, '']:
  """Binary cross entropy: mean over cells and positives of the batch, summed over the forms F of the heat maps."""
  wanted = jax.lax.stop_gradient(grid_targets(rois, gt_boxes, grid_size, logits.shape[-2], radius))
  per_roi = optax.sigmoid_binary_cross_entropy(logits, wanted[:, :, None]).mean((-3, -2, -1)).sum(-1)
  return jnp.where(positive, per_roi, 0.0).sum() / jnp.maximum(positive.sum(), 1)


def points_to_boxes(logits: Float[Array, 'B K S S P'], rois: Float[Array, 'B K 4']) -> Float[Array, 'B K 4']:
  """Decodes the heat maps of RoIs to boxes."""
  return boxes_of_points(jax.nn.sigmoid(logits), rois)
