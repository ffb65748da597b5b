"""Heads of dense detectors: network, anchors or points, their assignment, losses and scores."""

from configs.parts import box_coders


def retinanet(
  *,
  anchor_order: str,
  rounded: bool = False,
  scale_clamp: str,
  legacy_plus_one: bool = False,
  low_quality_matches: str,
  train_anchors: str,
  beta: float = 0.0,
  normalizer: dict,
) -> dict:
  """RetinaNet's head (Lin et al., 2017): nine anchors per cell.

  Args:
    anchor_order: outer loop of a cell's anchors; Detectron2: 'size_major', mmdetection: 'ratio_major'.
    rounded: anchors of whole pixels, as mmdetection 1.x had them.
    scale_clamp: clamp of box scales; Detectron2: 'max', mmdetection: 'symmetric'.
    legacy_plus_one: a box's last pixel is inside it (mmdetection 1.x).
    low_quality_matches: as of an RPN, see rpn.py; Detectron2: 'best_iou', mmdetection: 'gt_claims'.
    train_anchors: Detectron2: 'canvas'; mmdetection: 'image', anchors on the image's own padded size.
    beta: of the smooth L1 loss of boxes; 0: L1.
    normalizer: Detectron2: a running number of positives, mmdetection: the batch's own.
  """
  return {
    'name': 'retinanet',
    'network': two_tower(),
    'anchors': {
      'strides': (),  # pixels per cell of each level; (): 2**level
      'sizes': tuple(tuple(size * 2 ** (k / 3) for k in range(3)) for size in (32, 64, 128, 256, 512)),
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'anchor_order': anchor_order,
      'offset': 0.0,  # from the cell's corner to the anchors' centre, in strides
      'rounded': rounded,
    },
    'coder': box_coders.deltas((1.0, 1.0, 1.0, 1.0), scale_clamp, legacy_plus_one),
    'matcher': {
      'negative_iou': 0.4,
      'positive_iou': 0.5,
      'low_quality_matches': low_quality_matches,
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': train_anchors,
    'border': -1,  # >= 0: anchors that cross the image by more pixels are ignored in training
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
    'loss': {'name': 'smooth_l1', 'beta': beta, 'weight': 1.0},
    'normalizer': normalizer,
  }


def fcos(
  *,
  conv_bias: bool,
  centerness: str,
  scales: bool,
  radius: float,
  range_ends: bool,
  distances: str,
  loss: str,
  weigh_boxes: bool,
  normalizer: dict,
  centerness_score: str,
  deformable_last: bool = False,
) -> dict:
  """FCOS's head (Tian et al., 2019): one point per cell.

  Args:
    conv_bias, centerness, scales, deformable_last: as in `two_tower`.
    radius: largest distance of positive points from an object's centre, in strides; 0: all points inside.
    range_ends: True: a level's range includes its ends (mmdetection); False: it does not (Detectron2).
    distances: unit of the box regression: 'strides' or 'log_pixels'.
    loss: of boxes: 'iou' as first published, or 'giou'.
    weigh_boxes: weight the box loss by centerness; mmdetection: yes, Detectron2: no.
    normalizer: Detectron2: a running number of positives, mmdetection: the batch's own.
    centerness_score: 'root': the square root of class probability times centerness is the score everywhere
      (Detectron2); 'after': the product is the score after ranking (mmdetection).
  """
  return {
    'name': 'fcos',
    'network': two_tower(
      norm='gn', conv_bias=conv_bias, centerness=centerness, scales=scales, deformable_last=deformable_last
    ),
    'anchors': square_anchors(sides=1, offset=0.5),  # the points are their centres
    # Range of each level, in pixels: distance from a point to its object's furthest side.
    'ranges': ((0, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)),
    'matcher': {'radius': radius, 'range_ends': range_ends},
    'distances': distances,
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
    'loss': {'name': loss, 'weight': 1.0},
    'weigh_boxes': weigh_boxes,
    'normalizer': normalizer,
    'centerness_score': centerness_score,
  }


def atss() -> dict:
  """ATSS's head (Zhang et al., 2020): one anchor per cell, of eight strides; adaptive assignment."""
  return {
    'name': 'atss',
    'network': two_tower(norm='gn', conv_bias=False, centerness='box', scales=True),
    **adaptive(),
    'coder': box_coders.deltas(),
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
  }


def gfl() -> dict:
  """GFL's head (Li et al., 2020): as ATSS; class scores predict the IoU, distances are distributions over strides."""
  return {
    'name': 'gfl',
    'network': two_tower(norm='gn', conv_bias=False, scales=True),
    **adaptive(),
    'largest': 16,  # largest distance to a side, in strides
    'class_loss': {'beta': 2.0},
    'distribution_weight': 0.25,
  }


def ssd(*, strides: tuple[int, ...], sizes: tuple[int, ...], aspect_ratios: tuple[tuple[int, ...], ...]) -> dict:
  """SSD's head (Liu et al., 2016): four or six anchors per cell, a softmax, three hard negatives per positive.

  Args:
    strides: pixels per cell of each level.
    sizes: side of the smaller square of each level, in pixels, and of the next level after the last.
    aspect_ratios: of the other anchors of each level, see ops/anchors.py.
  """
  return {
    'name': 'ssd',
    'network': {'name': 'ssd_head'},
    'anchors': {
      'strides': strides,
      'sizes': tuple(zip(sizes[:-1], sizes[1:], strict=True)),  # of a level and of the next
      'aspect_ratios': aspect_ratios,  # above 1; reciprocals are added
      'offset': 0.5,  # from the cell's corner to the anchors' centre, in strides
    },
    'coder': box_coders.deltas(),
    'matcher': {
      'negative_iou': 0.5,
      'positive_iou': 0.5,
      'low_quality_matches': 'gt_claims_first',
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': 'canvas',  # images fill the canvas
    'border': -1,  # >= 0: anchors that cross the image by more pixels are ignored in training
    'negatives': 3,  # per positive of an image
    'loss': {'name': 'smooth_l1', 'beta': 1.0, 'weight': 1.0},
    'normalizer': batch_normalizer('images'),
  }


def yolact() -> dict:
  """YOLACT's head (Bolya et al., 2019): three anchors per cell, hard negatives, and masks from prototypes."""
  return {
    'name': 'yolact',
    'network': {'name': 'yolact', 'num_convs': 1, 'channels': 256, 'num_prototypes': 32},
    'mask_branch': {'name': 'protonet', 'num_convs': 3, 'channels': 256, 'num_prototypes': 32},
    'anchors': {
      'sizes': tuple((3 * 2**level,) for level in (3, 4, 5, 6, 7)),
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'anchor_order': 'ratio_major',
      'strides': tuple(550 / cells for cells in (69, 35, 18, 9, 5)),  # of an image of 550 pixels
      'offset': 0.5,  # from the cell's corner to the anchors' centre, in strides
      'rounded': False,
    },
    'coder': box_coders.deltas(),
    'matcher': {
      'negative_iou': 0.4,
      'positive_iou': 0.5,
      'low_quality_matches': 'gt_claims_first',
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': 'canvas',
    'border': -1,  # >= 0: anchors that cross the image by more pixels are ignored in training
    'negatives': 3,  # per positive, those with the largest class losses
    'loss': {'name': 'smooth_l1', 'beta': 1.0, 'weight': 1.5},
    'normalizer': batch_normalizer('images'),
    'masks': {
      'positives': 100,  # largest number of anchors per image in the mask loss, drawn at random
      'weight': 6.125,
      'semantic_weight': 1.0,
      # Area that the grid of prototypes covers: 'canvas', or 'image' as in mmdetection, where images fill the canvas.
      'extent': 'canvas',
    },
  }


def cornernet(*, images: int) -> dict:
  """CornerNet's head (Law & Deng, 2018): heat maps of two corners, their embeddings and offsets.

  Args:
    images: number of images whose embedding losses are summed, not averaged: upstream's batch on one GPU.
  """
  return {
    'name': 'cornernet',
    'network': {'name': 'corner_head', 'embedding': 1, 'channels': 256, 'pool_channels': 128, 'norm': 'sync_bn'},
    # Heat of a corner extends as far as boxes keep at least this IoU with the object.
    'heat': {'min_overlap': 0.3},
    'class_loss': {'alpha': 2.0, 'gamma': 4.0, 'weight': 1.0},
    'embedding_loss': {'pull': 0.1, 'push': 0.1, 'images': images},
    'offset_loss': {'beta': 1.0, 'weight': 1.0},
  }


def adaptive() -> dict:
  """Anchors of ATSS and GFL, their assignment, and the box loss."""
  return {
    'anchors': square_anchors(sides=8, offset=0.0),
    'matcher': {'num_nearest': 9},  # candidates per object and level
    'train_anchors': 'image',  # anchors on the image's own padded size
    'border': -1,  # >= 0: anchors that cross the image by more pixels are ignored in training
    'loss': {'name': 'giou', 'weight': 2.0},
    'normalizer': batch_normalizer('images'),
  }


def square_anchors(sides: float, offset: float) -> dict:
  """Anchors of one square of `sides` strides in every cell of levels 3 to 7."""
  return {
    'strides': (),  # pixels per cell of each level; (): 2**level
    'sizes': tuple((sides * 2**level,) for level in (3, 4, 5, 6, 7)),
    'aspect_ratios': (1.0,),
    'anchor_order': 'size_major',
    'offset': offset,  # from the cell's corner to the anchor's centre, in strides
    'rounded': False,
  }


def two_tower(
  *,
  norm: str = '',
  conv_bias: bool = True,
  centerness: str = '',
  scales: bool = False,
  deformable_last: bool = False,
) -> dict:
  """Two towers of four convolutions, for classes and for boxes.

  Args:
    norm: of the towers: '' or 'gn'.
    conv_bias: biases of the convolutions in the towers.
    centerness: tower that predicts it, 'class' or 'box'; '': no centerness.
    scales: a learned factor of the box regression for each level.
    deformable_last: the last convolution of each tower is deformable.
  """
  return {
    'name': 'two_tower',
    'num_convs': 4,
    'channels': 256,
    'norm': norm,
    'conv_bias': conv_bias,
    'deformable_last': deformable_last,
    'centerness': centerness,
    'scales': scales,
  }


def running_normalizer(initial: float) -> dict:
  """Normalizer of losses: a running number of positives, which begins at `initial` (Detectron2)."""
  return {'name': 'running', 'initial': initial, 'momentum': 0.9}


def batch_normalizer(name: str) -> dict:
  """Normalizer of losses: the batch's positives ('batch'), or 'images' with at least one per image."""
  return {'name': name}
