"""Heads of dense detectors: the network, anchors or points, how objects choose them, losses, and what scores are."""


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
  """RetinaNet's (Lin et al., 2017): nine anchors a cell.

  Args:
    anchor_order: outer loop of a cell's anchors; Detectron2: 'size_major', mmdetection: 'ratio_major'.
    rounded: anchors of whole pixels, as mmdetection 1.x had them.
    scale_clamp: of boxes' sides; Detectron2: 'max', mmdetection: 'symmetric'.
    legacy_plus_one: a box's last pixel is inside it (mmdetection 1.x).
    low_quality_matches: as of an RPN, see rpn.py; Detectron2: 'best_iou', mmdetection: 'gt_claims'.
    train_anchors: Detectron2: 'canvas'; mmdetection: 'image', those on the image's own padded size.
    beta: of the smooth L1 loss of boxes; 0: L1.
    normalizer: Detectron2: a running number of positives, mmdetection: the batch's own.
  """
  return {
    'name': 'retinanet',
    'network': two_tower(),
    'anchors': {
      'strides': (),  # pixels a cell of each level; (): a pyramid's, 2**level
      'sizes': tuple(tuple(size * 2 ** (k / 3) for k in range(3)) for size in (32, 64, 128, 256, 512)),
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'anchor_order': anchor_order,
      'offset': 0.0,  # of an anchor's centre in its cell, in strides
      'rounded': rounded,
    },
    'coder': deltas((1.0, 1.0, 1.0, 1.0), scale_clamp, legacy_plus_one),
    'matcher': {
      'negative_iou': 0.4,
      'positive_iou': 0.5,
      'low_quality_matches': low_quality_matches,
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': train_anchors,
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
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
  """FCOS's (Tian et al., 2019): a point a cell.

  Args:
    conv_bias, centerness, scales, deformable_last: as of `two_tower`.
    radius: strides from an object's centre within which points are its own; 0: all inside.
    range_ends: whether the ends of a level's range belong to it; mmdetection: yes, Detectron2: no.
    distances: what the head's four numbers are: 'strides' or 'log_pixels'.
    loss: of boxes: 'iou' as first published, or 'giou'.
    weigh_boxes: the box loss by centerness; mmdetection: yes, Detectron2: no.
    normalizer: Detectron2: a running number of positives, mmdetection: the batch's own.
    centerness_score: 'root': of class probability times centerness, in all that goes by scores (Detectron2); 'after':
      the product, from ranking on (mmdetection).
  """
  return {
    'name': 'fcos',
    'network': two_tower(
      norm='gn', conv_bias=conv_bias, centerness=centerness, scales=scales, deformable_last=deformable_last
    ),
    'anchors': square_anchors(sides=1, offset=0.5),  # the points are their middles
    # The distances to the furthest side that a level is for, in pixels.
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
  """ATSS's (Zhang et al., 2020): one anchor a cell, of eight strides; objects choose theirs."""
  return {
    'name': 'atss',
    'network': two_tower(norm='gn', conv_bias=False, centerness='box', scales=True),
    **adaptive(),
    'coder': deltas(),
    'class_loss': {'alpha': 0.25, 'gamma': 2.0},
  }


def gfl() -> dict:
  """GFL's (Li et al., 2020): as ATSS; class scores tell the overlap, sides are distributions over whole strides."""
  return {
    'name': 'gfl',
    'network': two_tower(norm='gn', conv_bias=False, scales=True),
    **adaptive(),
    'largest': 16,  # strides that a side can be away
    'class_loss': {'beta': 2.0},
    'distribution_weight': 0.25,
  }


def ssd(*, strides: tuple[int, ...], sizes: tuple[int, ...], aspect_ratios: tuple[tuple[int, ...], ...]) -> dict:
  """SSD's (Liu et al., 2016): four or six anchors a cell, a softmax, three hard negatives for every positive.

  Args:
    strides: pixels a cell, of each level.
    sizes: of the smaller square of each level, in pixels, and the one that would follow.
    aspect_ratios: of the other anchors of each level, see ops/anchors.py.
  """
  return {
    'name': 'ssd',
    'network': {'name': 'ssd_head'},
    'anchors': {
      'strides': strides,
      'sizes': tuple(zip(sizes[:-1], sizes[1:], strict=True)),  # of a level and of the next
      'aspect_ratios': aspect_ratios,  # above 1; their reciprocals are meant too
      'offset': 0.5,  # of an anchor's centre in its cell, in strides
    },
    'coder': deltas(),
    'matcher': {
      'negative_iou': 0.5,
      'positive_iou': 0.5,
      'low_quality_matches': 'gt_claims_first',
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': 'canvas',  # which an image fills
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
    'negatives': 3,  # an image, for each of its positives
    'loss': {'name': 'smooth_l1', 'beta': 1.0, 'weight': 1.0},
    'normalizer': batch_normalizer('images'),
  }


def yolact() -> dict:
  """YOLACT's (Bolya et al., 2019): three anchors a cell, hard negatives, and masks made of prototypes."""
  return {
    'name': 'yolact',
    'network': {'name': 'yolact', 'num_convs': 1, 'channels': 256, 'num_prototypes': 32},
    'mask_branch': {'name': 'protonet', 'num_convs': 3, 'channels': 256, 'num_prototypes': 32},
    'anchors': {
      'sizes': tuple((3 * 2**level,) for level in (3, 4, 5, 6, 7)),
      'aspect_ratios': (0.5, 1.0, 2.0),  # height / width
      'anchor_order': 'ratio_major',
      'strides': tuple(550 / cells for cells in (69, 35, 18, 9, 5)),  # of an image of 550 pixels
      'offset': 0.5,  # of an anchor's centre in its cell, in strides
      'rounded': False,
    },
    'coder': deltas(),
    'matcher': {
      'negative_iou': 0.4,
      'positive_iou': 0.5,
      'low_quality_matches': 'gt_claims_first',
      'low_quality_min_iou': 0.0,
    },
    'train_anchors': 'canvas',
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
    'negatives': 3,  # a positive, those with the largest class losses
    'loss': {'name': 'smooth_l1', 'beta': 1.0, 'weight': 1.5},
    'normalizer': batch_normalizer('images'),
    'masks': {
      'positives': 100,  # anchors an image whose masks are trained, drawn at random where there are more
      'weight': 6.125,
      'semantic_weight': 1.0,
      # What the grid of prototypes covers: 'canvas', or 'image' as mmdetection has it, whose images fill their canvas.
      'extent': 'canvas',
    },
  }


def cornernet(*, images: int) -> dict:
  """CornerNet's (Law & Deng, 2018): heat maps of two corners, their embeddings and offsets.

  Args:
    images: of a batch whose losses of embeddings are summed, not averaged: those that upstream has on one GPU.
  """
  return {
    'name': 'cornernet',
    'network': {'name': 'corner_head', 'embedding': 1, 'channels': 256, 'pool_channels': 128, 'norm': 'sync_bn'},
    # The IoU with an object down to which boxes with corners in its heat are alike.
    'heat': {'min_overlap': 0.3},
    'class_loss': {'alpha': 2.0, 'gamma': 4.0, 'weight': 1.0},
    'embedding_loss': {'pull': 0.1, 'push': 0.1, 'images': images},
    'offset_loss': {'beta': 1.0, 'weight': 1.0},
  }


def adaptive() -> dict:
  """Anchors of ATSS and GFL, how objects choose them, and the box loss."""
  return {
    'anchors': square_anchors(sides=8, offset=0.0),
    'matcher': {'num_nearest': 9},  # candidates of an object on every level
    'train_anchors': 'image',  # those on the image's own padded size
    'border': -1,  # >= 0: anchors that cross the image by more pixels take no part in training
    'loss': {'name': 'giou', 'weight': 2.0},
    'normalizer': batch_normalizer('images'),
  }


def deltas(
  weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0),
  scale_clamp: str = 'symmetric',
  legacy_plus_one: bool = False,
) -> dict:
  """Boxes are centre shifts and log scales of anchors, see ops/box_coder.py."""
  return {'name': 'deltas', 'weights': weights, 'scale_clamp': scale_clamp, 'legacy_plus_one': legacy_plus_one}


def square_anchors(sides: float, offset: float) -> dict:
  """A square of so many strides in every cell of levels 3 to 7."""
  return {
    'strides': (),  # pixels a cell of each level; (): a pyramid's, 2**level
    'sizes': tuple((sides * 2**level,) for level in (3, 4, 5, 6, 7)),
    'aspect_ratios': (1.0,),
    'anchor_order': 'size_major',
    'offset': offset,  # of its centre in the cell, in strides
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
    conv_bias: of the convolutions in the towers.
    centerness: the tower that it is read off, 'class' or 'box'; '': there is none.
    scales: a factor of the boxes for each level.
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
  """Losses are divided by a running number of positives, which begins at `initial` (Detectron2)."""
  return {'name': 'running', 'initial': initial, 'momentum': 0.9}


def batch_normalizer(name: str) -> dict:
  """Losses are divided by the batch's positives: 'batch', or 'images' where every image counts for one at least."""
  return {'name': name}
