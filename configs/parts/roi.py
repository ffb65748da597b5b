"""RoI heads: pooling, targets, the box head and its losses, the mask head, and cascades of box heads."""

from configs.parts import box_coders

IOU_LOSSES = {  # box losses in Detectron2, by the argument `box_loss`
  '': {},
  'giou': {'loss': 'giou', 'loss_weight': 10.0},
  'ciou': {'loss': 'ciou', 'loss_weight': 12.0},
}
MMDET_IOU_LOSSES = {
  '': {},
  'iou': {'loss': 'iou', 'loss_weight': 10.0},
  'giou': {'loss': 'giou', 'loss_weight': 10.0},
  'ciou': {'loss': 'ciou_gated', 'loss_weight': 12.0},
  'bounded_iou': {'loss': 'bounded_iou', 'loss_weight': 10.0},
}


def roi(
  *,
  box_head: dict,
  mask_head: dict | None = None,
  mask_iou_head: dict | None = None,
  grid_head: dict | None = None,
  cascade: dict | None = None,
  levels: tuple[int, ...] = (2, 3, 4, 5),
  canonical_level: int = 4,
  shared_head: str = '',
  aligned: bool = True,
  sampling_ratio: int = 0,
  deformable_pooling: str = '',
  hard_examples: bool = False,
  low_quality_matches: str = 'off',
  low_quality_min_iou: float = 0.0,
  scale_clamp: str = 'max',
  legacy_plus_one: bool = False,
  loss: str = 'smooth_l1',
  beta: float = 0.0,
  loss_weight: float = 1.0,
) -> dict:
  """RoI heads with Detectron2's settings; `mmdet` below has mmdetection's differences.

  Args:
    box_head, mask_head, mask_iou_head, grid_head: see the functions below; without a mask head no masks, without a mask
      IoU head no mask scoring, likewise for grid points.
    cascade: settings of several box heads in sequence.
    levels: pyramid levels that RoIs are pooled from.
    canonical_level: of a RoI of 224 x 224 pixels.
    shared_head: 'res5': the backbone's last stage, applied to every RoI (C4).
    aligned, sampling_ratio: of RoIAlign; 0: as many samples as a bin has pixels. mmdetection 1.x: False and 2.
    deformable_pooling: of the box head: 'v1' or 'v2' (deformable RoI pooling) instead of RoIAlign.
    hard_examples: train on the RoIs with the largest class losses (OHEM) instead of random ones.
    low_quality_matches, low_quality_min_iou: as in rpn.py. mmdetection's Mask R-CNN: 'gt_claims' from IoU 0.5.
    scale_clamp, legacy_plus_one: of the box coder, as in rpn.py.
    loss, beta, loss_weight: box loss; 'smooth_l1' (beta 0: L1), or the name of an IoU loss.
  """
  return {
    # Of models/box_stages; or 'double', with `box_scale`; or 'dynamic'.
    'stage': 'hard_examples' if hard_examples else 'standard',
    # Of models/roi_tasks, in this order.
    'tasks': (('grid_points',) if grid_head else ())
    + ((('mask_scoring' if mask_iou_head else 'mask'),) if mask_head else ()),
    'pooler': {
      'name': 'deformable' if deformable_pooling else 'roi_align',
      **({'version': deformable_pooling} if deformable_pooling else {}),
      'levels': levels,
      'canonical_size': 224,
      'canonical_level': canonical_level,
      'aligned': aligned,
      'sampling_ratio': sampling_ratio,
    },
    'matcher': {
      'name': 'max_iou',
      'negative_iou': 0.5,
      'positive_iou': 0.5,
      'low_quality_matches': low_quality_matches,
      'low_quality_min_iou': low_quality_min_iou,
    },
    'sampler': {'name': 'hardest' if hard_examples else 'random', 'num': 512, 'positive_fraction': 0.25},
    'add_ground_truth': True,  # add ground-truth boxes to the proposals
    'shared_head': shared_head,
    'box_head': box_head,
    'coder': box_coders.deltas((10.0, 10.0, 5.0, 5.0), scale_clamp, legacy_plus_one),
    'clip_border': True,  # clip boxes to the image
    'loss': {'name': loss, 'beta': beta, 'weight': loss_weight},
    'class_loss': {'name': 'cross_entropy'},  # or another of losses/class_loss.py, with its settings
    **({'mask_head': mask_head} if mask_head else {}),
    **({'mask_iou_head': mask_iou_head, 'mask_scoring': mask_scoring()} if mask_iou_head else {}),
    **({'grid_head': grid_head, 'grid_points': grid_points()} if grid_head else {}),
    **({'cascade': cascade} if cascade else {}),
  }


def mmdet(**settings) -> dict:
  """RoI heads with mmdetection's settings; `settings` override arguments of `roi`."""
  return roi(**{'scale_clamp': 'symmetric'} | settings)


def mmdet_1x(**settings) -> dict:
  """RoI heads with the coordinates of mmdetection 1.x (configs/legacy_1.x); `settings` override arguments of `roi`."""
  own = {
    'legacy_plus_one': True,
    'aligned': False,
    'sampling_ratio': 2,
    'beta': 1.0,
    'low_quality_matches': 'gt_claims',
    'low_quality_min_iou': 0.5,
  }
  return mmdet(**own | settings)


def box_head(
  norm: str = '',
  *,
  num_fcs: int | None = None,
  roi_size: int = 7,
  class_agnostic: bool = False,
  box_regression: bool = True,
) -> dict:
  """Box head: two fully connected layers of 1024, or with a norm four convolutions and one layer (Wu & He, 2018).

  Args:
    norm: of the convolutions.
    num_fcs: number of fully connected layers; 0: the mean over the RoI; None: as above.
    roi_size: bins per side of a RoI.
    class_agnostic: one box per RoI; always so in a cascade.
    box_regression: False: classes only.
  """
  return {
    'name': 'conv_fc',
    'num_convs': 4 if norm else 0,
    'conv_channels': 256,
    'norm': norm,
    'num_fcs': (1 if norm else 2) if num_fcs is None else num_fcs,
    'channels': 1024,
    'roi_size': roi_size,
    'class_agnostic': class_agnostic,
    'box_regression': box_regression,
    'classifier': 'linear',  # or 'cosine'; 'normed': mmdetection's for the seesaw loss
    'tau': 0.0,  # of a linear classifier: exponent of tau-normalisation after training
    'cosine_scale': 20.0,  # of a cosine classifier
    'cosine_scale_learned': True,
    'cosine_bias': False,
    'calibration': '',  # of the logits: 'disalign' or 'lws'
  }


def double_box_head() -> dict:
  """Double head: two fully connected layers for classes, a widening block and four bottlenecks for boxes."""
  return {
    'name': 'double',
    'num_convs': 4,
    'conv_channels': 1024,
    'norm': 'sync_bn',
    'num_fcs': 2,
    'channels': 1024,
    'roi_size': 7,
    'class_agnostic': False,
  }


def mask_head(norm: str = '', *, num_convs: int = 4, class_agnostic: bool = False, stages: str = 'first') -> dict:
  """Mask head: convolutions, upsampling to 28 x 28 and a mask for every class.

  Args:
    norm: of the convolutions.
    num_convs: before upsampling.
    class_agnostic: one mask per RoI.
    stages: cascade stages with a mask head, trained on their RoIs: 'first' or 'every'.
  """
  return {
    'name': 'conv',
    'stages': stages,
    'num_convs': num_convs,
    'channels': 256,
    'norm': norm,
    'roi_size': 14,
    'class_agnostic': class_agnostic,
    'predictor': 'conv',  # or 'normed', as the box head's classifier
  }


def mask_iou_head() -> dict:
  """Mask Scoring R-CNN's mask IoU head: four convolutions, the last one of stride 2, and two fully connected layers."""
  return {'name': 'conv_fc', 'num_convs': 4, 'conv_channels': 256, 'num_fcs': 2, 'channels': 1024}


def mask_scoring() -> dict:
  """Training of Mask Scoring R-CNN's mask IoUs."""
  return {
    # Logit from which on a pixel is in the predicted mask. 0 would be a probability of 0.5; mmdetection compares the
    # logits with its threshold of probabilities.
    'logit_threshold': 0.5,
    'loss_weight': 0.5,
  }


def grid_head() -> dict:
  """Grid R-CNN's grid head: nine heat maps of 28 x 28 on RoIs of twice the size."""
  return {
    'name': 'fused',
    'num_convs': 8,
    'point_channels': 64,  # per point
    'grid_size': 3,  # points per side of the grid
    'norm_groups': 36,
    'roi_size': 14,
  }


def grid_points() -> dict:
  """Training and decoding of Grid R-CNN's grid points."""
  return {
    'jitter': 0.15,  # random change of RoIs in training, relative to their sides
    'max_rois': 96,  # positive RoIs per image; mmdetection: 192 for the two images of a GPU; 0: all
    'radius': 1,  # positive cells around a point
    'loss_weight': 15.0,
    'clip': False,  # clip boxes to the image; mmdetection intends to, but does not
  }


def detectron2_cascade() -> dict:
  """Detectron2's cascade: later stages train on the first one's refined RoIs; features get a third of the gradient."""
  return {
    'ious': (0.5, 0.6, 0.7),
    'coder_weights': ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)),
    'loss_weights': (1.0, 1.0, 1.0),
    'resample': False,  # sample RoIs again for every stage, with ground-truth boxes added
    'feature_gradient': 1 / 3,
    'average': 'probabilities',  # over the stages; or 'logits'
  }


def mmdet_cascade() -> dict:
  """mmdetection's cascade: every stage samples again, later losses weigh less; weights are 1 / rounded deviations."""
  return {
    'ious': (0.5, 0.6, 0.7),
    'coder_weights': ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)),
    'loss_weights': (1.0, 0.5, 0.25),
    'resample': True,
    'feature_gradient': 1.0,
    'average': 'logits',
  }
