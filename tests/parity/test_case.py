"""Weights, objects and regions of a recorded run."""

import numpy as np
import pytest

import parity_kit
from jaxdet.parity.case import MASK_SIZE, batch, case_names, fixed_regions, load_case, state
from small_case import small_case


def test_weights_are_filled_tweaked_shared_and_derived():
  case = small_case(
    params=[
      ['conv.weight', [2, 3], 'filled'],
      ['other.weight', [2, 3], 'alias:conv.weight'],
      ['third.weight', [2, 3], 'alias'],
      ['conv.weight_gamma', [2, 1], 'derived'],
      ['conv.weight_beta', [2, 1], 'derived'],
      ['conv.num_batches_tracked', [], 'constant'],
    ],
    fill_prefix='heldout/',
    tweaks={'conv.weight': [0.5, 1.0]},
    aliases={'third.weight': 'conv.weight'},
  )
  arrays = state(case)
  value = 0.5 * len('heldout/conv.weight') + 1.0
  assert arrays.keys() == {'conv.weight', 'other.weight', 'third.weight', 'conv.weight_gamma', 'conv.weight_beta'}
  assert all((arrays[f'{name}.weight'] == value).all() for name in ('conv', 'other', 'third'))
  np.testing.assert_allclose(arrays['conv.weight_beta'], [[value], [value]])
  np.testing.assert_allclose(arrays['conv.weight_gamma'], [[1e-5**0.5]] * 2, rtol=1e-6)


def test_pixels_are_told_in_rgb():
  assert small_case().pixel_mean == (123.675, 116.28, 103.53)
  assert small_case(channel_order='RGB').pixel_std == (57.375, 57.12, 58.395)


def test_a_pattern_chooses_cases(tmp_path):
  for file in ('mmdet/a_c4.npz', 'mmdet/b.npz', 'detectron2/c_c4.npz', 'ops/d_c4.npz'):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
  assert case_names(tmp_path) == ['mmdet/a_c4', 'mmdet/b', 'detectron2/c_c4']
  assert case_names(tmp_path, '*c4') == ['mmdet/a_c4', 'detectron2/c_c4']
  assert case_names(tmp_path, 'mmdet/*') == ['mmdet/a_c4', 'mmdet/b']


def test_objects_and_their_masks_at_one_bit_a_pixel():
  case = load_case(parity_kit.kit(), 'mmdet/mask_rcnn_r50_fpn')
  made = batch(case)
  truth = case.recipe.ground_truth(1, 80)
  assert made.image.shape == (2, 192, 256, 3) and made.image_size.tolist() == [[192, 256], [160, 224]]
  assert made.objects.valid.sum(1).tolist() == [5, 3]
  np.testing.assert_array_equal(made.objects.boxes[1, :3], truth['boxes'])
  areas = np.unpackbits(made.objects.masks.bits[1, :3], axis=-1).sum((1, 2))
  x, y = (np.stack(truth['polygons'])[..., i] for i in (0, 1))
  exact = 0.5 * np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1))
  np.testing.assert_allclose(areas, exact, rtol=0.02)
  assert (made.objects.masks.windows[1, :3, 2:] - made.objects.masks.windows[1, :3, :2] == MASK_SIZE).all()
  assert made.proposals is None and made.objects.masks.outlines is None


def test_outlines_are_the_polygons_closed():
  case = load_case(parity_kit.kit(), 'mmdet/mask_rcnn_r50_fpn')
  made = batch(case, outlines=True)
  polygon = case.recipe.ground_truth(1, 80)['polygons'][2]
  np.testing.assert_array_equal(made.objects.masks.outlines[1, 2], np.float32([*polygon, polygon[0]]))
  assert (made.objects.masks.outline_parts[1, :3] == 0).all() and (made.objects.masks.outline_parts[1, 3:] == -1).all()


@pytest.mark.parametrize('name', ['detectron2/mask_rcnn_R_50_FPN_1x'])
def test_the_fixed_regions_are_the_recorded_ones(name):
  case = load_case(parity_kit.kit(), name)
  boxes, real = fixed_regions(case)
  assert real.sum(1).tolist() == [29, 27]
  for image in (0, 1):
    np.testing.assert_allclose(boxes[image][real[image]], case.arrays[f'fixed_roi/boxes{image}'], rtol=1e-6)


def test_fast_rcnn_is_given_its_proposals():
  assert batch(load_case(parity_kit.kit(), 'mmdet/fast_rcnn_r50_fpn')).proposals.valid.sum(1).tolist() == [29, 27]
  assert batch(load_case(parity_kit.kit(), 'detectron2/fast_rcnn_R_50_FPN_1x')).proposals.boxes.shape == (2, 200, 4)
