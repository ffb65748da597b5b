"""Mask R-CNN against the recorded runs of Detectron2 and mmdetection: losses, gradients, detections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import mask as coco_mask

import parity_kit
import upstream_case
from jaxdet.convert.rules import export_state
from jaxdet.ops import iou
from jaxdet.ops.paste import paste_mask
from jaxdet.structures import Batch

DETECTRON2, MMDET = 'detectron2/mask_rcnn_R_50_FPN_1x_bitmask', 'mmdet/mask_rcnn_r50_fpn'
LOSSES = {
  'loss_rpn_objectness': ('loss_rpn_cls', 'loss_rpn_cls'),
  'loss_rpn_box': ('loss_rpn_loc', 'loss_rpn_bbox'),
  'loss_class': ('loss_cls', 'loss_cls'),
  'loss_box': ('loss_box_reg', 'loss_bbox'),
  'loss_mask': ('loss_mask', 'loss_mask'),
}
CELLS = 128  # of a mask crop: no object of the recorded images is larger, so that a cell is a pixel


def settings(case):
  """`config.model` with the recorded run's own options."""
  meta = case.meta
  if case.name == DETECTRON2:
    model = upstream_case.model_config(case, style='caffe')
    model.rpn.normalizer = meta['overrides']['MODEL.RPN.BATCH_SIZE_PER_IMAGE']
    limits = {'pre_nms': 300, 'post_nms': 300}
  else:
    model = upstream_case.model_config(case, norm='bn_eval')
    model.rpn.coder.clamp = model.roi.coder.clamp = 'both'
    model.rpn.matcher = {**model.rpn.matcher, 'low_quality': 'object', 'low_quality_min_iou': 0.3}
    model.roi.matcher = {**model.roi.matcher, 'low_quality': 'object', 'low_quality_min_iou': 0.5}
    model.rpn.train_anchors = 'image'
    model.rpn.normalizer = 0
    limits = {'pre_nms': 300, 'post_nms': 200}
  model.rpn.sampler.num = model.roi.sampler.num = 0
  model.rpn.train_proposals.update(limits)
  model.rpn.test_proposals.update(limits)
  model.test.update({'score_threshold': meta['score_thr'], 'iou': meta['nms_iou'], 'detections': meta['max_per_img']})
  return model


def ground_truth(case) -> Batch:
  """The case's images and objects; a mask is the polygon's bitmap, cut out at the corner of its box."""
  images, sizes = upstream_case.canvas(case)
  count, objects = len(images), 6
  boxes = np.zeros((count, objects, 4), np.float32)
  labels = np.zeros((count, objects), np.int32)
  valid = np.zeros((count, objects), bool)
  masks = np.zeros((count, objects, CELLS, CELLS), np.uint8)
  windows = np.zeros((count, objects, 4), np.float32)
  for i, (height, width) in enumerate(sizes):
    truth = parity_kit.recipe().ground_truth(i, case.meta['num_classes'])
    for k, (box, label, polygon) in enumerate(zip(truth['boxes'], truth['labels'], truth['polygons'], strict=True)):
      bitmap = coco_mask.decode(coco_mask.frPyObjects([polygon.reshape(-1).tolist()], int(height), int(width)))[..., 0]
      x, y = np.floor(box[:2]).astype(int)
      crop = bitmap[y : y + CELLS, x : x + CELLS]
      assert crop.sum() == bitmap.sum()
      boxes[i, k], labels[i, k], valid[i, k] = box, label, True
      masks[i, k, : crop.shape[0], : crop.shape[1]] = crop
      windows[i, k] = [x, y, x + CELLS, y + CELLS]
  return Batch(
    image=images,
    image_size=sizes,
    original_size=sizes,
    index=np.arange(count, dtype=np.int32),
    valid=np.ones(count, bool),
    boxes=boxes,
    labels=labels,
    objects_valid=valid,
    mask_bits=np.packbits(masks, axis=-1),
    mask_windows=windows,
  )


@pytest.fixture(scope='module', params=(DETECTRON2, MMDET))
def run(request):
  """(case, losses, gradients of their sum by upstream name, detections, batch) of jaxdet on a case."""
  case = upstream_case.load_case(request.param)
  model = settings(case)
  detector, variables = upstream_case.load_detector(case, model)
  batch = ground_truth(case)

  def total(params):
    losses, _ = detector.loss(variables | {'params': params}, batch, jax.random.key(0))
    return sum(v for k, v in losses.items() if k.startswith('loss_')), losses

  with jax.default_matmul_precision('highest'):
    gradients, losses = jax.jit(jax.grad(total, has_aux=True))(variables['params'])
    detections = jax.jit(detector.predict)(variables, batch)
  table = upstream_case.conversion_rules(case, model)
  trained = [rule for rule in table if rule.collection == 'params']
  by_name = export_state({'params': jax.device_get(gradients)}, trained)
  return case, losses, by_name, jax.device_get(detections), batch


def test_losses(run):
  case, losses, *_ = run
  for ours, names in LOSSES.items():
    theirs = names[case.name == MMDET]
    np.testing.assert_allclose(losses[ours], case.meta['losses'][theirs], rtol=1e-4, err_msg=ours)


def test_gradient_norms(run):
  case, _, gradients, *_ = run
  for parameter, norm in case.meta['grad_norms'].items():
    ours = np.linalg.norm(gradients[parameter].astype(np.float64))
    np.testing.assert_allclose(ours, norm, rtol=1e-3, atol=1e-7, err_msg=parameter)
  frozen = set(gradients) - set(case.meta['grad_norms'])
  assert frozen and all(not gradients[parameter].any() for parameter in frozen)


def test_detections(run):
  case, *_, found, batch = run
  for i, (height, width) in enumerate(batch.image_size):
    valid = found.valid[i]
    boxes, scores, labels = (x[i][valid] for x in (found.boxes, found.scores, found.labels))
    expected = {part: case.arrays[f'det{i}/{part}'] for part in ('boxes', 'scores', 'labels')}
    assert len(scores) == len(expected['scores'])
    # Scores may tie to 1e-6, so that the order is not the program's: match by class and box.
    overlap = np.array(iou.pairwise_iou(jnp.asarray(expected['boxes']), jnp.asarray(boxes)))
    overlap[expected['labels'][:, None] != labels] = 0
    row = overlap.argmax(1)
    assert len(set(row)) == len(row)
    np.testing.assert_allclose(boxes[row], expected['boxes'], atol=0.05)
    np.testing.assert_allclose(scores[row], expected['scores'], atol=1e-4)

    shape = case.meta['mask_shape'][f'det{i}/masks']
    bits = np.unpackbits(case.arrays[f'det{i}/masks'])[: np.prod(shape)].reshape(shape).astype(bool)
    for k, wanted in enumerate(bits):
      ours = paste_mask(found.masks[i][valid][row[k]], boxes[row[k]], int(height), int(width)).astype(bool)
      union = (ours | wanted).sum()
      assert union == 0 or (ours & wanted).sum() / union >= 0.99
