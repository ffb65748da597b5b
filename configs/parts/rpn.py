"""Region proposal network (Ren et al., 2015): head, anchors, targets, losses and proposals."""

from configs.parts import box_coders, dense_heads

IOU_LOSSES = {  # box losses in Detectron2, by the argument `box_loss`; mmdetection has them only for RoIs
  '': {},
  'giou': {'loss': 'giou', 'loss_weight': 2.0},
  'ciou': {'loss': 'ciou', 'loss_weight': 2.0},
}


def rpn(
  *,
  num_convs: int = 1,
  channels: int = 256,
  sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,)),
  anchor_order: str = 'size_major',
  rounded: bool = False,
  scale_clamp: str = 'max',
  legacy_plus_one: bool = False,
  low_quality_matches: str = 'best_iou',
  low_quality_min_iou: float = 0.0,
  train_anchors: str = 'canvas',
  border: int = -1,
  normalizer: int = 256,
  loss: str = 'smooth_l1',
  beta: float = 0.0,
  loss_weight: float = 1.0,
  train: tuple[int, int] = (2000, 1000),
  test: tuple[int, int] = (1000, 1000),
) -> dict:
  """Detectron2's settings; `mmdet` below has mmdetection's differences.

  Args:
    num_convs, channels: of the head.
    sizes: of anchors in pixels, one tuple per level.
    anchor_order: outer loop of a cell's anchors; mmdetection: 'ratio_major'.
    rounded: anchors of whole pixels, as mmdetection 1.x had them.
    scale_clamp: clamp of box scales; mmdetection: 'symmetric'.
    legacy_plus_one: a box's last pixel is inside it (mmdetection 1.x).
    low_quality_matches: an object's best anchors are positive even below 0.7, assigned to the object with their highest
      IoU ('best_iou', Detectron2) or to this object ('gt_claims', mmdetection); 'off': they are not positive.
    low_quality_min_iou: least IoU of such anchors.
    train_anchors: mmdetection: 'image', only anchors on the image's own padded size.
    border: >= 0: anchors that cross the image by more pixels are ignored in training.
    normalizer: divisor of the losses, in anchors per image; 0: the sampled anchors (mmdetection).
    loss, beta, loss_weight: box loss; 'smooth_l1' (beta 0: L1), or the name of an IoU loss.
    train, test: number of proposals (per level before suppression, per image after it).
  """
  return {
    'name': 'rpn',
    'num_convs': num_convs,
    'channels': channels,
    'anchors': {
      'strides': (),  # pixels per cell of each level; (): 2**level
      'sizes': sizes,
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'anchor_order': anchor_order,
      'offset': 0.0,  # from the cell's corner to the anchors' centre, in strides
      'rounded': rounded,
    },
    'coder': box_coders.deltas((1.0, 1.0, 1.0, 1.0), scale_clamp, legacy_plus_one),
    'clip_border': True,  # clip proposals to the image
    'matcher': {
      'name': 'max_iou',
      'negative_iou': 0.3,
      'positive_iou': 0.7,
      'low_quality_matches': low_quality_matches,
      'low_quality_min_iou': low_quality_min_iou,
    },
    'train_anchors': train_anchors,
    'border': border,
    'sampler': {'name': 'random', 'num': 256, 'positive_fraction': 0.5},  # num 0: every anchor
    'normalizer': normalizer,
    'loss': {'name': loss, 'beta': beta, 'weight': loss_weight},
    'train_proposals': limits(*train),
    'test_proposals': limits(*test),
  }


def fcos(train: tuple[int, int] = (2000, 1000), test: tuple[int, int] = (1000, 1000)) -> dict:
  """mmdetection's FCOS as first published, instead of a region proposal network; `train`, `test` as of `rpn`."""
  return {
    'name': 'dense',
    'head': dense_heads.fcos(
      conv_bias=False,
      centerness='class',
      scales=True,
      radius=0.0,
      range_ends=True,
      distances='log_pixels',
      loss='iou',
      weigh_boxes=True,
      normalizer=dense_heads.batch_normalizer('batch'),
      centerness_score='after',
    ),
    'train_proposals': limits(*train),
    'test_proposals': limits(*test),
  }


def given(count: int = 1000) -> dict:
  """Precomputed proposals, up to `count` per image, in the batch (Fast R-CNN)."""
  return {'name': 'given', 'count': count}


def limits(pre_nms_topk: int, post_nms_topk: int) -> dict:
  """Limits of proposals: per level before suppression, and per image after it."""
  return {'pre_nms_topk': pre_nms_topk, 'post_nms_topk': post_nms_topk, 'iou': 0.7, 'min_size': 0.0}


def mmdet(**settings) -> dict:
  """mmdetection's settings, changed by `settings` of `rpn`."""
  own = {
    'anchor_order': 'ratio_major',
    'scale_clamp': 'symmetric',
    'low_quality_matches': 'gt_claims',
    'low_quality_min_iou': 0.3,
    'train_anchors': 'image',
    'normalizer': 0,
  }
  return rpn(**own | settings)


def mmdet_1x(**settings) -> dict:
  """mmdetection's settings with the coordinates of version 1 (configs/legacy_1.x), changed by `settings` of `rpn`."""
  return mmdet(**{'rounded': True, 'legacy_plus_one': True, 'beta': 1 / 9, 'train': (2000, 2000)} | settings)
