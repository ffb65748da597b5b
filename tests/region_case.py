"""A batch of regions for the classification losses, and what all of these must do with rows that hold none."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

NUM_CLASSES = 4
LABELS = np.array([[0, 3, 4, 1], [4, 4, 2, 0]])  # 4 is background
VALID = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], bool)


def random_logits(columns: int, seed: int = 0) -> np.ndarray:
  """[2, 4, columns], of which some are high enough to matter."""
  return np.random.default_rng(seed).normal(scale=2.0, size=(2, 4, columns)).astype(np.float32)


def valid_rows(logits: np.ndarray) -> list[tuple[np.ndarray, int]]:
  """The logits in double precision and the label of each region."""
  return [(row.astype(float), label) for row, label in zip(logits[VALID], LABELS[VALID], strict=True)]


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def binary_cross_entropy(logit: float, is_positive: bool) -> float:
  return -np.log(sigmoid(logit) if is_positive else 1 - sigmoid(logit))


def cross_entropy(logits: np.ndarray, label: int) -> float:
  return -np.log(np.exp(logits[label]) / np.exp(logits).sum())


def padding_does_nothing(loss: Callable, columns: int) -> None:
  """Asserts that rows which are not valid change nothing in `loss(logits, labels, valid)`, a scalar or with a state."""

  @jax.jit
  def run(logits, labels, valid):
    def scalar(logits):
      result = loss(logits, labels, valid)
      return result if isinstance(result, tuple) else (result, {})

    (value, state), gradient = jax.value_and_grad(scalar, has_aux=True)(logits)
    return value, state, gradient

  logits = random_logits(columns)
  value, state, gradient = run(logits, LABELS, VALID)
  assert value > 0 and value.dtype == jnp.float32 and value.shape == ()
  assert np.isfinite(gradient).all() and np.abs(gradient[VALID]).sum() > 0
  assert (np.asarray(gradient)[~VALID] == 0).all()
  for rubbish, label in ((1e30, 999), (np.nan, -7)):
    spoilt = np.where(VALID[..., None], logits, rubbish)
    value_2, state_2, gradient_2 = run(spoilt, np.where(VALID, LABELS, label), VALID)
    assert value_2 == value
    np.testing.assert_array_equal(gradient_2, gradient)
    jax.tree.map(np.testing.assert_array_equal, state_2, state)
  value, _, gradient = run(logits, LABELS, np.zeros_like(VALID))
  assert value == 0 and (np.asarray(gradient) == 0).all()
