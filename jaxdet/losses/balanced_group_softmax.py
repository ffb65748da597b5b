"""Balanced group softmax (Li et al., 2020): a softmax for each group of classes with about as many training instances.

Groups are a tuple of NumPy arrays of class ids, static in the compiled program. The logits have K + 2 + groups columns,
in upstream's order: background and foreground, then for each group 'others' and its classes by id.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.random_subset import random_subset
from jaxdet.losses.regions import mask_padding, mean_over

Groups = tuple[np.ndarray, ...]


def class_groups(instance_counts: np.ndarray, bounds: tuple[int, ...] = (10, 100, 1000)) -> Groups:
  """The ids of the classes with fewer training instances than each bound; the last group has the others."""
  group = np.searchsorted(bounds, instance_counts, side='right')
  return tuple(np.flatnonzero(group == number) for number in range(len(bounds) + 1))


def balanced_group_softmax_loss(
  logits: Float[Array, '*B R C'],
  labels: Int[Array, '*B R'],
  valid: Bool[Array, '*B R'],
  groups: Groups,
  key: Array,
  others_per_own: int = 8,
) -> Float[Array, '']:
  """Sum of the groups' mean cross entropies, plus that of foreground against background over all RoIs.

  A group's loss takes the RoIs of its classes and, as 'others', `others_per_own` times as many random RoIs of the rest,
  background included; a group without RoIs in the batch has loss 0.

  Args:
    logits: [..., R, K + 2 + groups], see above.
    labels, valid: see regions.py.
    groups: as `class_groups` gives them.
    key: random key of the step.
    others_per_own: number of 'others' for each RoI of the group's classes.
  """
  num_classes = sum(map(len, groups))
  logits, labels = mask_padding(logits, labels, valid, background=num_classes)
  first, *columns = _columns(groups)
  is_foreground = (labels < num_classes).astype(int)
  total = mean_over(_cross_entropy(logits[..., first], is_foreground), valid)
  for group, own_columns, group_key in zip(groups, columns, jax.random.split(key, len(groups)), strict=True):
    position = np.zeros(num_classes + 1, int)
    position[group] = 1 + np.arange(len(group))
    target = jnp.asarray(position)[labels]
    own = valid & (target > 0)
    others = random_subset(group_key, valid & (target == 0), others_per_own * own.sum())
    total += mean_over(_cross_entropy(logits[..., own_columns], target), own | others)
  return total


def class_scores(logits: Float[Array, '*B C'], groups: Groups) -> Float[Array, '*B K']:
  """Probabilities of the classes in their groups, 'others' left out, times that of foreground."""
  first, *columns = _columns(groups)
  foreground = jax.nn.softmax(logits[..., first])[..., 1:]
  by_group = jnp.concatenate([jax.nn.softmax(logits[..., own])[..., 1:] for own in columns], -1)
  return by_group[..., np.argsort(np.concatenate(groups))] * foreground


def _columns(groups: Groups) -> list[slice]:
  """Slices of the logits: foreground against background, then each group."""
  ends = np.cumsum([2, *(1 + len(group) for group in groups)]).tolist()
  return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _cross_entropy(logits: Float[Array, '*B R C'], labels: Int[Array, '*B R']) -> Float[Array, '*B R']:
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
