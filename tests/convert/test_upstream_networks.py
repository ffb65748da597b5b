"""The networks with upstream's weights give upstream's numbers, layer by layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.convert.rules import export_state
from jaxdet.ops.roi_align import multilevel_roi_align
from upstream_case import (
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
each_case = pytest.mark.parametrize('name', CASES)


@functools.lru_cache(maxsize=1)
def run(name: str):
  """The case, its config, variables, and what backbone, neck, heads make of the recorded images."""
  case = load_case(name)
  config = model_config(case, **CASES[name])
  detector, variables = load_detector(case, config)

  def of(network):
    return {collection: value[network] for collection, value in variables.items() if network in value}

  @jax.jit
  def forward(backbone, neck, rpn_head, images):
    features = detector.backbone.apply(backbone, images, train=False)
    pyramid = detector.neck.apply(neck, features)
    return features, pyramid, *detector.rpn_head.apply(rpn_head, pyramid)

  def pool(pyramid, boxes, size):
    levels = {level: pyramid[level] for level in (2, 3, 4, 5)}
    return multilevel_roi_align(
      levels, boxes, output_size=size, sampling_ratio=0, aligned=True, canonical_size=224, canonical_level=4
    )

  @jax.jit
  def regions(box_head, mask_head, pyramid, boxes):
    pooled = pool(pyramid, boxes, 7)
    out = {'0/feats': pooled}
    out['0/cls'], out['0/reg'] = detector.box_head.apply(box_head, pooled)
    if detector.mask_head is not None:
      out['mask/feats'] = pool(pyramid, boxes, 14)
      out['mask/logits'] = detector.mask_head.apply(mask_head, out['mask/feats'], None)
    return out

  boxes, real = fixed_rois(case)
  with jax.default_matmul_precision('highest'):
    maps = forward(of('backbone'), of('neck'), of('rpn_head'), batch_images(case))
    rois = regions(of('box_head'), of('mask_head'), maps[1], jnp.asarray(boxes))
  return case, config, variables, maps, {k: np.asarray(v)[real] for k, v in rois.items()}


@each_case
def test_the_input_is_upstreams(name):
  case = load_case(name)
  images = batch_images(case)
  assert case.error('input', images[..., ::-1] if case.bgr else images) < 1e-6


@each_case
def test_feature_maps(name):
  case, _, _, (features, pyramid, logits, deltas), _ = run(name)
  flat = {level: x.reshape(*x.shape[:3], -1) for level, x in deltas.items()}
  for part, maps in (('backbone', features), ('neck', pyramid), ('rpn/cls', logits), ('rpn/reg', flat)):
    for level, x in maps.items():
      assert case.error(case.tensor(part, level), x) < TOLERANCE, (part, level)


@each_case
def test_region_heads(name):
  case, _, _, _, rois = run(name)
  for tensor, x in rois.items():
    x = x.reshape(len(x), -1) if tensor == '0/reg' else x
    assert case.error(f'fixed_roi/{tensor}', x) < TOLERANCE, tensor


@each_case
def test_export_gives_the_checkpoint_back_bit_by_bit(name):
  case, config, variables, _, _ = run(name)
  exported = export_state(variables, conversion_rules(case, config))
  kept = {k: v for k, v in case.state.items() if not k.endswith('num_batches_tracked')}
  assert exported.keys() == kept.keys()
  assert all(np.array_equal(exported[k], kept[k]) for k in kept)
