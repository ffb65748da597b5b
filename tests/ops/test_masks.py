"""Mask targets: by hand, against RoIAlign of the whole bitmap, and against mmdetection and Detectron2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.ops.masks import crop_masks, draw_masks, share_in_boxes, unpack_masks
from jaxdet.ops.roi_align import roi_align
from parity_kit import case, recipe

crop = jax.jit(crop_masks, static_argnames=('image_size', 'size'))


def cut(bitmap, corner, num_cells):
  """(cells, window) of a bitmap from pixel corner (x, y) on, one pixel a cell, zeros beyond the bitmap."""
  x, y = corner
  height, width = bitmap.shape
  cells = np.zeros((num_cells, num_cells), np.float32)
  part = bitmap[y : y + num_cells, x : x + num_cells]
  cells[: part.shape[0], : part.shape[1]] = part
  return cells, np.array([x, y, x + num_cells, y + num_cells], np.float32)


def object_window(bitmap, num_cells):
  rows, columns = np.nonzero(bitmap)
  assert max(np.ptp(rows), np.ptp(columns)) < num_cells
  return cut(bitmap, (columns.min(), rows.min()), num_cells)


def targets(bitmaps, boxes, objects, size, num_cells=128):
  """Targets of boxes of the objects, as bool."""
  cells, windows = zip(*(object_window(b, num_cells) for b in bitmaps), strict=True)
  return np.asarray(crop(np.stack(cells)[objects], np.stack(windows)[objects], boxes, bitmaps[0].shape, size)) == 1


def unpack(packed, shape):
  return np.unpackbits(packed)[: np.prod(shape)].reshape(shape).astype(bool)


def test_unpacks_what_numpy_packs():
  masks = np.random.default_rng(0).integers(0, 2, (3, 16, 16)).astype(np.uint8)
  unpacked = unpack_masks(jnp.asarray(np.packbits(masks, axis=-1)))
  assert unpacked.dtype == jnp.float32
  np.testing.assert_array_equal(unpacked, masks)


def test_most_significant_bit_is_the_left_one():
  np.testing.assert_array_equal(unpack_masks(jnp.array([[0b10000010]], jnp.uint8)), [[1, 0, 0, 0, 0, 0, 1, 0]])


def test_box_on_the_pixel_grid_by_hand():
  cells = np.zeros((1, 8, 8), np.float32)
  cells[0, 1:3, 2:6] = 1
  windows = np.array([[10, 20, 18, 28]], np.float32)
  boxes = np.array([[11, 20, 15, 24]], np.float32)  # columns 1 to 4 and rows 0 to 3 of the window
  out = crop(cells, windows, boxes, (100, 100), 4)
  np.testing.assert_array_equal(out[0], [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]])


def test_outside_the_window_there_is_nothing():
  windows = np.array([[10, 10, 18, 18]] * 2, np.float32)
  boxes = np.array([[30, 30, 40, 40], [2, 10, 18, 26]], np.float32)
  out = crop(np.ones((2, 8, 8), np.float32), windows, boxes, (100, 100), 2)
  np.testing.assert_array_equal(out, [[[0, 0], [0, 0]], [[0, 1], [0, 0]]])


def test_at_the_image_border_the_mask_goes_on():
  # The one sample of the box lies 0.35 pixels beyond the centre of the image's corner pixel; interpolation with
  # zeros would leave 0.65 * 0.65 of it.
  bitmap = np.zeros((6, 6), np.float32)
  bitmap[5, 5] = 1
  for mask, corner, box in [(bitmap, (4, 4), [5.7, 5.7, 6, 6]), (bitmap[::-1, ::-1], (0, 0), [0, 0, 0.3, 0.3])]:
    cells, window = cut(mask, corner, 8)
    assert crop(cells[None], window[None], np.array([box], np.float32), (6, 6), 1)[0, 0, 0] == 1
    # In a larger image the pixel beyond is part of the bitmap, and empty.
    shifted = window[None] + 1, np.array([box], np.float32) + 1
    assert crop(cells[None], *shifted, (8, 8), 1)[0, 0, 0] == 0


def test_one_half_is_inside():
  cells = np.zeros((1, 8, 8), np.float32)
  cells[0, :, 0] = 1
  window = np.array([[20, 20, 28, 28]], np.float32)
  for x1, target in ((20, 1), (20.0625, 0)):  # two samples, one on either side
    assert crop(cells, window, np.array([[x1, 21, x1 + 2, 23]], np.float32), (90, 90), 1)[0, 0, 0] == target


@pytest.mark.parametrize('size', [14, 28])
def test_equals_roi_align_of_the_whole_bitmap(size):
  rng = np.random.default_rng(size)
  bitmap = np.zeros((60, 80), bool)
  y, x = np.mgrid[:60, :80]
  bitmap[(y - 45) ** 2 + (x - 66) ** 2 < 300] = 1  # cut off by the image on the right and below
  corner = rng.uniform((30, 20), (66, 46), (40, 2))
  boxes = (
    np.concatenate([corner, corner + rng.uniform(1, 30, (40, 2))], -1).clip(0, (80, 60, 80, 60)).astype(np.float32)
  )
  pool = jax.jit(lambda f, r: roi_align(f, r, stride=1, output_size=size))
  whole = pool(bitmap[None, :, :, None].astype(np.float32), boxes[None])[0, ..., 0]
  clear = np.abs(whole - 0.5) > 1e-4
  assert clear.mean() > 0.9
  out = targets([bitmap], boxes, np.zeros(40, int), size, num_cells=48)
  np.testing.assert_array_equal(out[clear], (whole >= 0.5)[clear])


def test_cells_larger_than_a_pixel_follow_the_outline():
  y, x = np.mgrid[:224, :224] + 0.5
  bitmap = (y - 112) ** 2 + (x - 112) ** 2 < 100**2
  cells = bitmap.reshape(112, 2, 112, 2).mean((1, 3)).round().astype(np.float32)
  window = np.array([[0, 0, 224, 224]], np.float32)
  boxes = np.array([[12, 12, 212, 212]], np.float32)
  coarse = crop(cells[None], window, boxes, (224, 224), 28)[0] == 1
  fine = targets([bitmap], boxes, [0], 28, num_cells=224)[0]
  assert (coarse != fine).mean() < 0.02


def test_rows_of_zeros_are_harmless():
  zeros = np.zeros((2, 4), np.float32)
  out = crop(np.ones((2, 8, 8), np.float32), zeros, zeros, (10, 10), 7)
  np.testing.assert_array_equal(out, np.zeros((2, 7, 7)))


@pytest.mark.parametrize('size', [14, 28])
def test_equals_mmdetection(size):
  coco = pytest.importorskip('pycocotools.mask')
  arrays, _ = case('ops/masks')
  polygons = recipe().ground_truth(0, 80)['polygons']
  rles = [coco.frPyObjects([p.reshape(-1).tolist()], 192, 256)[0] for p in polygons]
  bitmaps = [coco.decode(rle) for rle in rles]
  np.testing.assert_array_equal([b.sum() for b in bitmaps], arrays['rasterised_polygons/area'])
  out = targets(bitmaps, arrays[f'mask_target_{size}/in/proposals'], np.arange(16) % 5, size)
  expected = np.unpackbits(arrays[f'mask_target_{size}/packed'], axis=-1)[:, : size * size].reshape(out.shape)
  np.testing.assert_array_equal(out, expected.astype(bool))


@pytest.mark.parametrize('size', [14, 28])
def test_equals_detectron2(size):
  arrays, _ = case('ops/d2_mask_crop')
  for i, (image_size, count) in enumerate(zip(recipe().IMAGE_SIZES, recipe().OBJECTS, strict=True)):
    bitmaps = unpack(arrays[f'raster{i}'], (count, *image_size))
    objects = np.arange(5 * count) // 5
    out = targets(bitmaps, arrays[f'boxes{i}'], objects, size, num_cells=224)
    np.testing.assert_array_equal(out, unpack(arrays[f'bit{i}/{size}'], out.shape))


@pytest.mark.parametrize('grid', [(24, 32), (25, 33), (12, 16)])
def test_on_a_grid_over_the_canvas_masks_are_as_torch_interpolates_them(grid):
  torch = pytest.importorskip('torch')
  rng = np.random.default_rng(3)
  bitmaps = np.zeros((3, 96, 128), np.float32)
  for bitmap, (x, y, w, h) in zip(bitmaps, [(3, 5, 50, 40), (80, 60, 48, 36), (0, 0, 7, 90)], strict=True):
    bitmap[y : y + h, x : x + w] = rng.random((h, w)) < 0.8
  cells, windows = map(np.stack, zip(*(object_window(bitmap, 104) for bitmap in bitmaps), strict=True))
  found = jax.jit(draw_masks, static_argnums=(2, 3))(cells, windows, (96, 128), grid)
  values = torch.nn.functional.interpolate(torch.from_numpy(bitmaps)[None], grid, mode='bilinear')[0].numpy()
  certain = (np.abs(values - 0.5) > 1e-4) | (grid == (24, 32))  # cells of four pixels: no weight is rounded
  np.testing.assert_array_equal(np.asarray(found)[certain], (values > 0.5)[certain])


def test_the_share_in_a_box_counts_whole_pixels():
  rng = np.random.default_rng(0)
  bitmap = np.zeros((60, 80), np.float32)
  bitmap[20:50, 30:62] = rng.integers(0, 2, (30, 32))
  low = rng.uniform(25, 45, (30, 2)) * [1.3, 1]
  boxes = np.concatenate([low, low + rng.uniform(0, 15, (30, 2))], -1).astype(np.float32)
  boxes[0] = [40.2, 30.9, 40.6, 30.95]  # less than a pixel: the one at (40, 30)
  expected = []
  for x1, y1, x2, y2 in boxes.astype(int):
    expected.append(bitmap[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].sum() / bitmap.sum())
  cells, window = object_window(bitmap, 48)
  found = jax.jit(share_in_boxes)(np.stack([cells] * 30), np.stack([window] * 30), boxes)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert max(expected) > 0.1 and min(expected) == 0


def test_the_share_of_larger_cells_is_that_of_their_covered_part():
  window, box = np.float32([[10, 20, 26, 36]]), np.float32([[13, 20, 50, 28]])
  found = share_in_boxes(np.ones((1, 8, 8), np.float32), window, box)
  np.testing.assert_allclose(found, [13 / 16 * 1 / 2], rtol=1e-6)
  assert share_in_boxes(np.zeros((1, 8, 8), np.float32), np.zeros((1, 4), np.float32), box) == 0
