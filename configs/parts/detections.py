"""Selection of detections: `config.model.test`."""


def two_stage(
  score_threshold: float,
  detections: int,
  *,
  iou: float = 0.5,
  drop_empty_boxes: bool = True,
  soft_nms: bool = False,
) -> dict:
  """NMS within classes, then the best detections.

  Args:
    score_threshold, detections: least score, and number per image, see datasets.py.
    iou: threshold of NMS.
    drop_empty_boxes: drop boxes without area after NMS; mmdetection: False.
    soft_nms: lower the scores of boxes that overlap better ones, instead of dropping them.
  """
  return {
    'score_threshold': score_threshold,
    'iou': iou,
    'detections': detections,
    'drop_empty_boxes': drop_empty_boxes,
    'pre_nms_topk': 4096,  # best (box, class) pairs per image that enter NMS
    **({'soft_nms': linear_soft_nms()} if soft_nms else {}),
  }


def linear_soft_nms() -> dict:
  """Soft NMS (Bodla et al., 2017) as by default in mmdetection, see ops/soft_nms.py."""
  return {
    'decay': 'linear',  # of scores
    'sigma': 0.5,  # of 'gaussian'
    'score_threshold': 1e-3,  # of scores after decay
  }


def dense(
  score_threshold: float,
  detections: int,
  *,
  iou: float = 0.5,
  clip_before_nms: bool = False,
  legacy_plus_one: bool = False,
) -> dict:
  """Top-k of every level, NMS within classes, then the best detections of an image.

  Args:
    score_threshold, detections: least score, and number per image, see datasets.py.
    iou: threshold of NMS.
    clip_before_nms: clip boxes and drop empty ones before NMS (mmdetection), not after it.
    legacy_plus_one: clipped boxes end one pixel before the image does (mmdetection 1.x).
  """
  return {
    'score_threshold': score_threshold,
    'iou': iou,
    'detections': detections,
    'pre_nms_topk': 1000,  # best (anchor, class) pairs per level that are decoded
    'clip_before_nms': clip_before_nms,
    'legacy_plus_one': legacy_plus_one,
  }


def yolact(score_threshold: float, detections: int) -> dict:
  """Best anchors of every level, Fast NMS within classes, then the best detections of an image."""
  return {
    'score_threshold': score_threshold,
    'iou': 0.5,
    'detections': detections,
    'pre_nms_topk': 1000,  # best anchors per level that are decoded
    'per_class': 200,  # best of these per class that enter Fast NMS
  }


def panoptic() -> dict:
  """Merging of instances and stuff into a panoptic map: `config.model.test.panoptic`, see ops/panoptic_merge.py."""
  return {
    'score_threshold': 0.5,  # of instances
    'overlap': 0.5,  # largest share of an instance that better ones may cover
    'stuff_area': 4096,  # least area of stuff in pixels of the file
  }


def none() -> dict:
  """Empty settings, for a detector without boxes."""
  return {'score_threshold': 0.0, 'detections': 0}


def cornernet(detections: int) -> dict:
  """Pairs of the best corners with similar embeddings, with soft NMS within classes.

  Args:
    detections: number per image, see datasets.py.
  """
  return {
    'score_threshold': 1e-3,  # of scores after soft NMS
    'iou': 0.5,  # threshold of the decay 'linear'
    'decay': 'gaussian',  # of scores, see ops/soft_nms.py
    'sigma': 0.5,  # of 'gaussian'
    'detections': detections,
    'corner_topk': 100,  # top left corners, and as many bottom right ones
    'local_maximum_kernel': 3,  # side in cells of the window in which a corner must be the maximum of its class
    'distance_threshold': 0.5,  # largest distance between the embeddings of a pair's corners
    'pre_nms_topk': 1000,  # best pairs that enter soft NMS
    # Images are padded with zeros on all sides: their sides become the next number with these bits set, that is, one
    # less than a multiple of 128. 0: images are not moved, and the canvas counts.
    'margin': 127,
    'clip': False,  # clip boxes to the image; results are always clipped
  }


def mirrored(test: dict) -> dict:
  """Detection in the image and its mirror image, with NMS over the boxes of both as in `test`."""
  return {**test, 'mirror': {name: test[name] for name in ('decay', 'iou', 'sigma', 'score_threshold')}}


def queries(detections: int, *, clip: bool = True) -> dict:
  """The best of all (query, class) pairs (DETR: of all queries), without suppression.

  Args:
    detections: number per image, see datasets.py.
    clip: clip boxes to the image; Detic: False.
  """
  return {'score_threshold': 0.0, 'detections': detections, 'clip': clip}
