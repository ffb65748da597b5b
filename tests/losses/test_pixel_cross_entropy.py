"""Cross entropy of pixels: against torch, and what does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.losses.pixel_cross_entropy import pixel_cross_entropy

LOGITS = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
CLASSES = np.random.default_rng(1).integers(-1, 3, (2, 4, 5)).astype(np.int32)


def test_it_is_torch_s_mean_over_pixels_that_count():
  torch = pytest.importorskip('torch')
  classes = torch.from_numpy(CLASSES).long()
  wanted = torch.nn.functional.cross_entropy(torch.from_numpy(LOGITS).permute(0, 3, 1, 2), classes, ignore_index=-1)
  assert (CLASSES < 0).any()
  np.testing.assert_allclose(pixel_cross_entropy(LOGITS, CLASSES), wanted, rtol=1e-6)


def test_pixels_that_do_not_count_have_neither_loss_nor_gradient():
  other = np.where((CLASSES < 0)[..., None], 1e3, LOGITS)
  assert pixel_cross_entropy(other, CLASSES) == pixel_cross_entropy(LOGITS, CLASSES)
  gradient = jax.grad(pixel_cross_entropy)(jnp.asarray(LOGITS), CLASSES)
  assert not gradient[CLASSES < 0].any() and gradient[CLASSES >= 0].any(-1).all()


def test_a_batch_of_which_nothing_counts_has_no_loss():
  nothing = np.full_like(CLASSES, -1)
  assert pixel_cross_entropy(LOGITS, nothing) == 0.0
  assert not jax.grad(pixel_cross_entropy)(jnp.asarray(LOGITS), nothing).any()
