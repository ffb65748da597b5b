"""Anchors: sizes, order and place by hand, and as recorded from Detectron2 and mmdetection."""

import numpy as np
import pytest

from jaxdet.ops import anchors
from parity_kit import case, recipe

RATIOS = (0.5, 1.0, 2.0)
OCTAVE = [4 * 2 ** (i / 3) for i in range(3)]


def test_an_anchor_keeps_its_area_and_has_its_ratio():
  x1, y1, x2, y2 = anchors.cell_anchors((32,), (2.0,))[0]
  assert (x1, y1) == (-x2, -y2)
  assert (x2 - x1) * (y2 - y1) == pytest.approx(32**2)
  assert (y2 - y1) / (x2 - x1) == pytest.approx(2.0)


def test_the_outer_loop_is_over_sizes_or_aspect_ratios():
  def heights(order):
    cell = anchors.cell_anchors((8, 16), (1.0, 9.0), order)
    return (cell[:, 3] - cell[:, 1]).tolist()

  assert heights('size_major') == [8, 24, 16, 48]
  assert heights('ratio_major') == [8, 16, 24, 48]
  with pytest.raises(ValueError, match="'scale'"):
    anchors.cell_anchors((8,), (1.0,), 'scale')


def test_cells_follow_row_by_row():
  grid = anchors.grid_anchors(np.array([[-1, -1, 1, 1], [-2, -2, 2, 2]], np.float32), (2, 3), 16, offset=0.5)
  assert grid.dtype == np.float32
  assert grid.shape == (12, 4)
  assert grid[0].tolist() == [7, 7, 9, 9]
  assert grid[1].tolist() == [6, 6, 10, 10]  # next anchor
  assert grid[2].tolist() == [23, 7, 25, 9]  # next column
  assert grid[6].tolist() == [7, 23, 9, 25]  # next row


def test_inside_is_strict_on_the_right_and_bottom():
  boxes = np.array([[0, 0, 10, 10], [-2, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 11.9]], np.float32)
  assert anchors.inside(boxes, (10, 10), 0).tolist() == [False, False, True, False]
  assert anchors.inside(boxes, (10, 10), 2).tolist() == [True, True, True, True]


def test_cells_that_begin_within_the_image_are_valid():
  assert anchors.valid_cells((3, 4), np.array([17, 32]), 16).tolist() == [[True, True, False, False]] * 2 + [
    [False] * 4
  ]


@pytest.mark.parametrize(
  'name, sizes, strides, offset',
  [
    ('rpn', [(32,), (64,)], (8, 16), 0.0),
    ('retina', [[8 * s for s in OCTAVE], [16 * s for s in OCTAVE]], (8, 16), 0.0),
    ('c4', [(32, 64, 128, 256, 512)], (16,), 0.0),
    ('offset', [(32,), (64,)], (8, 16), 0.5),
  ],
)
def test_anchors_are_detectron2s(name, sizes, strides, offset):
  arrays, _ = case('ops/d2_anchors')
  for level, (level_sizes, stride, grid) in enumerate(zip(sizes, strides, [(6, 8), (3, 4)], strict=False)):
    made = anchors.grid_anchors(anchors.cell_anchors(level_sizes, RATIOS), grid, stride, offset)
    np.testing.assert_array_equal(made, arrays[f'{name}/{level}'])


def scaled(scales, ratios=RATIOS):
  """The anchors of a cell as a function of the stride, in mmdetection's order."""
  return lambda stride: anchors.cell_anchors([stride * s for s in scales], ratios, 'ratio_major')


def legacy(scales):
  return lambda stride: anchors.legacy_cell_anchors(stride, scales, RATIOS)


SSD_SIZES = (21, 45, 99, 153, 207, 261, 315)  # of SSD300 on COCO


def ssd(stride):
  level = (8, 16, 32, 64, 100, 300).index(stride)
  size, next_size = SSD_SIZES[level], SSD_SIZES[level + 1]
  ratios = (2,) if level in (0, 4, 5) else (2, 3)
  return anchors.ssd_cell_anchors(size, next_size, ratios)


@pytest.mark.parametrize(
  'name, cell, offset',
  [
    ('retina', scaled(OCTAVE), 0.0),
    ('rpn', scaled((8,)), 0.0),
    ('rpn_c4', scaled((2, 4, 8, 16, 32)), 0.0),
    ('yolof', scaled((1, 2, 4, 8, 16), (1.0,)), 0.0),
    ('ssd300', ssd, 0.5),
    ('legacy_rpn', legacy((8,)), 0.0),
    ('legacy_retina', legacy(OCTAVE), 0.0),
  ],
)
def test_anchors_are_mmdetections(name, cell, offset):
  arrays, meta = case('ops/anchors')
  recorded = next(c for c in meta['cases'] if c['name'] == name)
  for level, (stride, grid) in enumerate(zip(recorded['args']['strides'], recorded['sizes'], strict=True)):
    made = anchors.grid_anchors(cell(stride), grid, stride, offset)
    assert list(made.shape) == recorded['outputs'][f'level{level}']['shape']
    expected = arrays[f'{name}/level{level}']
    if expected.ndim == 1:  # samples of a long array
      made = made.reshape(-1)[recipe().sample_indices(made.size)]
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=5e-5)  # made in float32 upstream

    valid = anchors.valid_cells(grid, (160, 224), stride).sum() * len(cell(stride))
    assert valid == arrays[f'{name}/valid_for_pad_160x224'][level]
