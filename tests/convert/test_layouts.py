"""Layouts and their inverses."""

import numpy as np
import pytest

from jaxdet.convert import layouts
from jaxdet.convert.layouts import Layout

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
  'layout, upstream, here',
  [
    (layouts.SAME, (5,), (5,)),
    (layouts.LINEAR, (5, 7), (7, 5)),
    (layouts.CONV, (8, 4, 3, 3), (3, 3, 4, 8)),
    (layouts.FLIPPED_CONV, (8, 3, 7, 7), (7, 7, 3, 8)),
    (layouts.DECONV, (4, 8, 2, 2), (2, 2, 4, 8)),
    (layouts.linear_after_flatten(7), (10, 6 * 49), (49 * 6, 10)),
    (layouts.FIRST_ROW_LAST, (5, 2), (5, 2)),
    (layouts.FIRST_ROW_LAST.then(layouts.LINEAR), (5, 2), (2, 5)),
  ],
)
def test_a_layouts_functions_undo_each_other(layout: Layout, upstream, here):
  array = RNG.normal(size=upstream).astype(np.float32)
  converted = layout.to_jaxdet(array)
  assert converted.shape == here
  assert np.array_equal(layout.to_upstream(converted), array)


def test_rows_that_exist_upstream_only_come_back_as_zeros():
  layout = layouts.without_first_rows(2)
  assert np.array_equal(layout.to_jaxdet(np.arange(5)), [2, 3, 4])
  assert np.array_equal(layout.to_upstream(np.array([2, 3, 4])), [0, 0, 2, 3, 4])


def test_a_flipped_convolution_sees_rgb_as_upstream_sees_bgr():
  weight, rgb = RNG.normal(size=(1, 3, 1, 1)), RNG.normal(size=3)
  kernel = layouts.FLIPPED_CONV.to_jaxdet(weight)
  np.testing.assert_allclose(kernel[0, 0, :, 0] @ rgb, weight[0, :, 0, 0] @ rgb[::-1])


def test_a_layer_after_flattening_sees_the_same_map():
  weight, chw = RNG.normal(size=(5, 2 * 9)), RNG.normal(size=(2, 3, 3))
  kernel = layouts.linear_after_flatten(3).to_jaxdet(weight)
  np.testing.assert_allclose(chw.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ chw.reshape(-1))


def test_background_first_becomes_background_last():
  kernel = layouts.FIRST_ROW_LAST.then(layouts.LINEAR)
  assert np.array_equal(layouts.FIRST_ROW_LAST.to_jaxdet(np.array([9, 1, 2])), [1, 2, 9])
  assert np.array_equal(kernel.to_jaxdet(np.array([[9, 9], [1, 1], [2, 2]])), [[1, 2, 9], [1, 2, 9]])
