"""Classes of a file's pixels against torch, which enlarges logits to the canvas, crops, and resizes again."""

import numpy as np
import pytest

from jaxdet.ops.semantic_map import interpolated_logits, semantic_classes

CANVAS, IMAGE = (64, 96), (56, 80)


def logits(seed: int = 0):
  return np.random.default_rng(seed).normal(size=(16, 24, 5)).astype(np.float32)


@pytest.mark.parametrize('size', [IMAGE, (112, 160), (33, 71), (200, 60)])
def test_logits_are_those_of_two_interpolations(size):
  torch = pytest.importorskip('torch')
  resize = torch.nn.functional.interpolate
  grid = torch.from_numpy(logits().transpose(2, 0, 1))[None]
  whole = resize(grid, CANVAS, mode='bilinear', align_corners=False)[:, :, : IMAGE[0], : IMAGE[1]]
  wanted = resize(whole, size, mode='bilinear', align_corners=False)[0].numpy().transpose(1, 2, 0)
  np.testing.assert_allclose(interpolated_logits(logits(), CANVAS, IMAGE, size), wanted, atol=1e-5)


def test_the_class_of_a_pixel_is_that_of_its_largest_logit_in_every_band_of_rows():
  classes = semantic_classes(logits(), CANVAS, IMAGE, (150, 100))
  assert classes.shape == (150, 100) and classes.dtype == np.int32
  np.testing.assert_array_equal(classes, interpolated_logits(logits(), CANVAS, IMAGE, (150, 100)).argmax(-1))


def test_what_lies_beside_the_image_does_not_count():
  other = logits()
  other[15:], other[:, 21:] = 100, -100  # the image's last pixels see cells 14 and 20
  np.testing.assert_array_equal(
    semantic_classes(other, CANVAS, IMAGE, (56, 80)), semantic_classes(logits(), CANVAS, IMAGE, (56, 80))
  )
