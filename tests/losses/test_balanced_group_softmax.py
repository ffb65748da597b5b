"""Balanced group softmax: the groups, the loss and the scores by hand, the draw of 'others', and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.balanced_group_softmax import balanced_group_softmax_loss, class_groups, class_scores
from region_case import LABELS, NUM_CLASSES, VALID, cross_entropy, padding_does_nothing, random_logits, valid_rows

# Classes 0 and 2 are of the first group, none of the second, 3 of the third, 1 of the last.
GROUPS = class_groups(np.array([5, 1000, 9, 999]))
COLUMNS = NUM_CLASSES + 2 + 4
# Where the columns of each group begin, and its classes: others, 0, 2 | others | others, 3 | others, 1.
LAYOUT = [(2, [0, 2]), (5, []), (6, [3]), (8, [1])]


def test_groups_by_training_instances():
  groups = class_groups(np.array([9, 10, 0, 99, 100, 999, 1000, 5000]))
  assert [group.tolist() for group in groups] == [[0, 2], [1, 3], [4, 5], [6, 7]]
  assert [group.tolist() for group in GROUPS] == [[0, 2], [], [3], [1]]


def test_all_others_count_where_they_are_few():
  logits = random_logits(COLUMNS)
  expected = np.mean([cross_entropy(z[:2], int(label < NUM_CLASSES)) for z, label in valid_rows(logits)])
  for start, members in LAYOUT:
    if not set(members) & set(LABELS[VALID].tolist()):
      continue  # A group without a region costs nothing.
    expected += np.mean(
      [
        cross_entropy(z[start : start + 1 + len(members)], 1 + members.index(label) if label in members else 0)
        for z, label in valid_rows(logits)
      ]
    )
  made = balanced_group_softmax_loss(logits, LABELS, VALID, GROUPS, jax.random.key(0))
  assert made == pytest.approx(expected, rel=1e-5)


def test_others_are_drawn_in_proportion():
  # One region of class 0, twenty of background; only the first group has a region of its own.
  logits = jnp.zeros((21, COLUMNS)).at[:, 2].set(jnp.arange(21.0))
  labels = jnp.array([0] + [NUM_CLASSES] * 20)

  def cost(key, others):
    return balanced_group_softmax_loss(logits, labels, jnp.ones(21, bool), GROUPS, key, others) - np.log(2)

  each = np.log(np.exp(np.arange(21.0)) + 2) - np.arange(21.0)
  each[0] = np.log(3)
  keys = jax.random.split(jax.random.key(1), 1000)
  made = np.asarray(jax.jit(jax.vmap(lambda key: cost(key, 8)))(keys))
  # The mean is over one region of the group and eight of the others.
  assert made.std() > 0
  assert made.mean() == pytest.approx((each[0] + 8 * each[1:].mean()) / 9, rel=0.02)
  np.testing.assert_allclose(cost(keys[0], 20), each.mean(), rtol=1e-5)


def test_scores_are_put_together_from_the_groups():
  logits = random_logits(COLUMNS)[0]
  made = class_scores(jnp.asarray(logits), GROUPS)
  for z, scores in zip(np.exp(logits.astype(float)), made, strict=True):
    foreground = z[1] / (z[0] + z[1])
    first, last = z[2:5].sum(), z[8:10].sum()
    expected = [z[3] / first, z[9] / last, z[4] / first, z[7] / (z[6] + z[7])]
    np.testing.assert_allclose(scores, np.array(expected) * foreground, rtol=1e-5)


def test_padding():
  key = jax.random.key(0)
  padding_does_nothing(lambda *rows: balanced_group_softmax_loss(*rows, GROUPS, key, others_per_own=1), COLUMNS)
