"""The networks with upstream's weights give upstream's numbers, layer by layer."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxdet.convert.rules import export_state
from jaxdet.ops.roi_align import multilevel_roi_align
from upstream_case import (
  UpstreamCase,
  batch_images,
  conversion_rules,
  fixed_rois,
  load_case,
  load_detector,
  model_config,
)

TOLERANCE = 1e-4  # of a tensor's RMS; float32 rounding is around 1e-5, a wrong padding or layout above 1e-2

CASES = {
  'mmdet/mask_rcnn_r50_fpn': {'norm': 'bn_eval'},
  'detectron2/mask_rcnn_R_50_FPN_1x': {'norm': 'frozen_bn', 'style': 'caffe'},
  'mmdet/faster_rcnn_x101_32x4d_fpn': {'norm': 'bn_eval', 'depth': 101, 'groups': 32, 'group_width': 4},
}


class Run(NamedTuple):
  case: UpstreamCase
  config: ConfigDict
  variables: dict
  maps: dict[str, dict[int, np.ndarray]]  # by part and level
  regions: dict[str, np.ndarray]  # by recorded name, of the fixed boxes


@pytest.fixture(scope='module', params=CASES)
def run(request) -> Run:
  case = load_case(request.param)
  config = model_config(case, **CASES[request.param])
  detector, variables = load_detector(case, config)

  def apply(network, *args):
    own = {collection: value[network] for collection, value in variables.items() if network in value}
    forward = getattr(detector, network).apply
    forward = functools.partial(forward, train=False) if network == 'backbone' else forward
    return jax.jit(forward)(own, *args)

  @functools.partial(jax.jit, static_argnums=2)
  def pool(pyramid, boxes, size):
    return multilevel_roi_align(
      {level: pyramid[level] for level in (2, 3, 4, 5)},
      boxes,
      output_size=size,
      sampling_ratio=0,
      aligned=True,
      canonical_size=224,
      canonical_level=4,
    )

  with jax.default_matmul_precision('highest'):
    maps = {'backbone': apply('backbone', batch_images(case))}
    maps['neck'] = apply('neck', maps['backbone'])
    maps['rpn/cls'], deltas = apply('rpn_head', maps['neck'])
    maps['rpn/reg'] = {level: x.reshape(*x.shape[:3], -1) for level, x in deltas.items()}

    boxes, real = fixed_rois(case)
    regions = {'0/feats': pool(maps['neck'], boxes, 7)}
    regions['0/cls'], deltas = apply('box_head', regions['0/feats'])
    regions['0/reg'] = deltas.reshape(*real.shape, -1)
    if detector.mask_head is not None:
      regions['mask/feats'] = pool(maps['neck'], boxes, 14)
      regions['mask/logits'] = apply('mask_head', regions['mask/feats'], None)
  return Run(case, config, variables, maps, {name: np.asarray(x)[real] for name, x in regions.items()})


def test_the_input_is_upstreams(run):
  images = batch_images(run.case)
  assert run.case.error('input', images[..., ::-1] if run.case.bgr else images) < 1e-6


@pytest.mark.parametrize('part', ['backbone', 'neck', 'rpn/cls', 'rpn/reg'])
def test_feature_maps(run, part):
  for level, x in run.maps[part].items():
    assert run.case.error(run.case.tensor(part, level), x) < TOLERANCE, level


def test_region_heads(run):
  for tensor, x in run.regions.items():
    assert run.case.error(f'fixed_roi/{tensor}', x) < TOLERANCE, tensor


def test_export_gives_the_checkpoint_back_bit_by_bit(run):
  exported = export_state(run.variables, conversion_rules(run.case, run.config))
  assert exported.keys() == run.case.state.keys()
  assert all(np.array_equal(exported[name], array) for name, array in run.case.state.items())
