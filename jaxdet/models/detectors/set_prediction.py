"""Set prediction (Carion et al., 2020): matches queries with objects, and computes losses and detections.

Queries have class logits and boxes (cx, cy, width, height) in image sides, in [0, 1]. `settings` is
`config.model`.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.assign.hungarian import assign
from jaxdet.losses.box_regression import smooth_l1
from jaxdet.losses.federated import sample_classes
from jaxdet.losses.focal import focal_loss
from jaxdet.models.detections import make_detections
from jaxdet.ops import boxes as box_ops
from jaxdet.ops.iou import giou
from jaxdet.ops.per_image import per_image
from jaxdet.structures import Detections, Objects

CLASS_LOSSES = ('cross_entropy', 'focal', 'federated_focal')


@flax.struct.dataclass
class Assignment:
  """Assignment of Q queries to N objects, for each of L layers."""

  queries: Int[Array, 'L B N']  # query of every object; -1: none
  labels: Int[Array, 'L B Q']  # class of every query, K for background


def is_sigmoid(settings: FrozenConfigDict) -> bool:
  """True if class logits are sigmoids, without a column for background.

  Raises:
    ValueError: on an unknown class loss.
  """
  name = settings.class_loss.name
  if name not in CLASS_LOSSES:
    raise ValueError(f"unknown class loss '{name}' of queries: choose one of {', '.join(CLASS_LOSSES)}")
  return name != 'cross_entropy'


@jax.named_scope('assignment')
def assign_queries(
  logits: Float[Array, 'L B Q C'],
  boxes: Float[Array, 'L B Q 4'],
  objects: Objects,
  image_size: Int[Array, 'B 2'],
  settings: FrozenConfigDict,
) -> Assignment:
  """Assigns queries to objects at least cost, in every layer; without gradient.

  Args:
    logits, boxes: of the queries.
    objects: ground truth.
    image_size: (height, width) in pixels.
    settings: reads `match` and `class_loss`.
  """
  weights = settings.match

  def one_image(logits, boxes, gt: Objects, size):
    scale = _image_scale(size)

    def one_layer(logits, boxes):
      costs = weights.class_weight * class_cost(logits, gt.labels, settings)
      distance = jnp.abs(boxes[:, None] - box_ops.xyxy_to_cxcywh(gt.boxes / scale)).sum(-1)
      overlap = giou((box_ops.cxcywh_to_xyxy(boxes) * scale)[:, None], gt.boxes)
      costs += weights.box_weight * distance - weights.giou_weight * overlap
      queries = assign(costs, gt.valid)
      places = jnp.where(queries < 0, len(boxes), queries)
      background = jnp.full(len(boxes), settings.num_classes, gt.labels.dtype)
      return queries, background.at[places].set(gt.labels, mode='drop')

    return jax.vmap(one_layer)(logits, boxes)

  by_image = per_image(one_image)(logits.swapaxes(0, 1), boxes.swapaxes(0, 1), objects, image_size)
  return Assignment(*(jax.lax.stop_gradient(x.swapaxes(0, 1)) for x in by_image))


def class_cost(logits: Float[Array, 'Q C'], labels: Int[Array, 'N'], settings: FrozenConfigDict) -> Float[Array, 'Q N']:
  """Classification cost: focal (positive minus negative term), or -p."""
  if not is_sigmoid(settings):
    return -jax.nn.softmax(logits)[:, labels]
  alpha, gamma = settings.class_loss.alpha, settings.class_loss.gamma
  p, eps = jax.nn.sigmoid(logits[:, labels]), 1e-12
  as_class = -alpha * (1 - p) ** gamma * jnp.log(p + eps)
  as_background = -(1 - alpha) * p**gamma * jnp.log(1 - p + eps)
  return as_class - as_background


def set_losses(
  logits: Float[Array, 'L B Q C'],
  boxes: Float[Array, 'L B Q 4'],
  objects: Objects,
  image_size: Int[Array, 'B 2'],
  found: Assignment,
  key: Array,
  settings: FrozenConfigDict,
  draw: Callable = sample_classes,
) -> dict[str, Float[Array, 'L']]:
  """Losses 'class', 'box' (L1) and 'giou' of every layer, unweighted, divided by the objects of the batch.

  Cross entropy is divided by the sum of the queries' weights instead; background has weight `background_weight`.
  Upstream divides on each GPU and averages; here sums are over the whole batch.

  Args:
    logits, boxes, objects, image_size, settings: as in `assign_queries`.
    found: the assignment.
    key: random key, for class losses that sample classes.
    draw: samples the classes of a federated loss.
  """
  matched = found.queries >= 0
  count = jnp.maximum(matched.sum((1, 2)), 1)
  scale = _image_scale(image_size)[:, None]
  # Unit boxes for unmatched objects keep all gradients finite.
  own = jnp.take_along_axis(boxes, jnp.maximum(found.queries, 0)[..., None], axis=2)
  unit = jnp.array([0.5, 0.5, 1.0, 1.0])
  own = jnp.where(matched[..., None], own, unit)
  wanted = jnp.where(matched[..., None], box_ops.xyxy_to_cxcywh(objects.boxes / scale), unit)
  distance = jnp.where(matched[..., None], smooth_l1(own, wanted, 0.0), 0.0).sum((1, 2, 3))
  overlap = giou(box_ops.cxcywh_to_xyxy(own) * scale, box_ops.cxcywh_to_xyxy(wanted) * scale)
  return {
    'class': _class_losses(logits, found.labels, matched, objects.labels, key, settings, draw),
    'box': distance / count,
    'giou': jnp.where(matched, 1 - overlap, 0.0).sum((1, 2)) / count,
  }


def _class_losses(
  logits: Float[Array, 'L B Q C'],
  targets: Int[Array, 'L B Q'],
  matched: Bool[Array, 'L B N'],
  labels: Int[Array, 'B N'],
  key: Array,
  settings: FrozenConfigDict,
  draw: Callable,
) -> Float[Array, 'L']:
  loss = settings.class_loss
  if not is_sigmoid(settings):
    weights = jnp.where(targets == settings.num_classes, loss.background_weight, 1.0)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return (each * weights).sum((1, 2)) / jnp.maximum(weights.sum((1, 2)), 1)
  if loss.name == 'federated_focal':
    counts = jnp.asarray(settings.class_counts.images)

    def sample(key, matched):
      return draw(labels, matched, counts, key, loss.slots, loss.power)

    classes = jax.vmap(sample)(jax.random.split(key, len(logits)), matched)
    # Classes that were not sampled: probability 0, so neither loss nor gradient.
    logits = jnp.where(classes[:, None, None], logits, -1e4)
  all_valid = jnp.ones(targets.shape[1:], bool)
  total = jax.vmap(lambda logits, targets: focal_loss(logits, targets, all_valid, loss.alpha, loss.gamma))
  return total(logits, targets) / jnp.maximum(matched.sum((1, 2)), 1)


@jax.named_scope('detections')
def detect(
  logits: Float[Array, 'B Q C'],
  boxes: Float[Array, 'B Q 4'],
  image_size: Int[Array, 'B 2'],
  settings: FrozenConfigDict,
) -> Detections:
  """Selects the best `test.detections` without suppression, in pixels of the resized image.

  With sigmoids the best (query, class) pairs, else the best queries, each with its likeliest class.
  """
  test = settings.test

  def one_image(logits, boxes, size):
    if is_sigmoid(settings):
      scores = jax.nn.sigmoid(logits)
    else:
      scores = jax.nn.softmax(logits)[:, :-1]
      likeliest = jnp.arange(scores.shape[1]) == scores.argmax(-1, keepdims=True)
      scores = jnp.where(likeliest, scores, -1.0)
    scores = jnp.where(jnp.isfinite(scores), scores, -1.0)
    best, index = jax.lax.top_k(scores.reshape(-1), min(test.detections, scores.size))
    rows, labels = jnp.divmod(index, scores.shape[1])
    found = box_ops.cxcywh_to_xyxy(boxes[rows]) * _image_scale(size)
    found = box_ops.clip(found, size) if test.clip else found
    valid = (best > test.score_threshold) & jnp.isfinite(found).all(-1)
    return make_detections(found, best, labels, valid, incomplete=jnp.zeros((), bool))

  return per_image(one_image)(logits, boxes, image_size)


def _image_scale(size: Int[Array, '*B 2']) -> Float[Array, '*B 4']:
  """(width, height, width, height) in pixels; at least 1, for padding images of size 0."""
  return jnp.maximum(jnp.tile(size[..., ::-1], 2), 1).astype(jnp.float32)
