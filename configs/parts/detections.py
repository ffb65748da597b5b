"""Selection of detections: `config.model.test`."""


def two_stage(score_threshold: float, detections: int, *, iou: float = 0.5, drop_empty_boxes: bool = True) -> dict:
  """Suppression within classes, then the best.

  Args:
    score_threshold, detections: from which on, and how many an image; datasets.py knows them.
    iou: of suppression.
    drop_empty_boxes: boxes without area, after suppression; mmdetection: False.
  """
  return {
    'score_threshold': score_threshold,
    'iou': iou,
    'detections': detections,
    'drop_empty_boxes': drop_empty_boxes,
    'pre_nms_topk': 4096,  # (box, class) pairs an image that enter NMS, best first
  }


def dense(
  score_threshold: float,
  detections: int,
  *,
  iou: float = 0.5,
  clip_before_nms: bool = False,
  legacy_plus_one: bool = False,
) -> dict:
  """The best of every level, suppression within classes, then the best of an image.

  Args:
    score_threshold, detections: from which on, and how many an image; datasets.py knows them.
    iou: of suppression.
    clip_before_nms: boxes are clipped and empty ones dropped before suppression (mmdetection), not after it.
    legacy_plus_one: clipped boxes end a pixel before the image does (mmdetection 1.x).
  """
  return {
    'score_threshold': score_threshold,
    'iou': iou,
    'detections': detections,
    'pre_nms_topk': 1000,  # (anchor, class) pairs a level that are decoded, best first
    'clip_before_nms': clip_before_nms,
    'legacy_plus_one': legacy_plus_one,
  }


def yolact(score_threshold: float, detections: int) -> dict:
  """The best anchors of every level, fast suppression within classes, then the best of an image."""
  return {
    'score_threshold': score_threshold,
    'iou': 0.5,
    'detections': detections,
    'pre_nms_topk': 1000,  # anchors a level that are decoded, best first
    'per_class': 200,  # of these, boxes of a class that are compared with each other
  }


def panoptic() -> dict:
  """How instances and stuff become one label a pixel: `config.model.test.panoptic`, see ops/panoptic_merge.py."""
  return {
    'score_threshold': 0.5,  # of instances
    'overlap': 0.5,  # share of an instance that may be taken already
    'stuff_area': 4096,  # pixels of the file below which stuff is left out
  }


def none() -> dict:
  """Of a detector without boxes."""
  return {'score_threshold': 0.0, 'detections': 0}


def cornernet(detections: int) -> dict:
  """Pairs of the best corners that are alike, softly suppressed within classes.

  Args:
    detections: how many an image; datasets.py knows them.
  """
  return {
    'score_threshold': 1e-3,  # of scores as suppression has lowered them
    'iou': 0.5,  # from which the decay 'linear' counts
    'decay': 'gaussian',  # of scores, see ops/soft_nms.py
    'sigma': 0.5,  # of 'gaussian'
    'detections': detections,
    'corner_topk': 100,  # of each kind, best first
    'local_maximum_kernel': 3,  # cells a side, among which a corner is the best of its class
    'distance_threshold': 0.5,  # of the embeddings of two corners, up to which they are alike
    'pre_nms_topk': 1000,  # pairs that enter suppression, best first
    # Images lie in the middle of zeros: their sides become the next number that has these bits set, the least multiple
    # of 128 less one. 0: images lie as they come, and the canvas is what counts.
    'margin': 127,
    'clip': False,  # boxes to the image; results always are
  }


def mirrored(test: dict) -> dict:
  """Detection in the image and its mirror image, whose boxes are suppressed as one image's are in `test`."""
  return {**test, 'mirror': {name: test[name] for name in ('decay', 'iou', 'sigma', 'score_threshold')}}


def queries(detections: int, *, clip: bool = True) -> dict:
  """The best of all (query, class) pairs (DETR: of all queries), without suppression.

  Args:
    detections: number per image, see datasets.py.
    clip: clip boxes to the image; Detic: False.
  """
  return {'score_threshold': 0.0, 'detections': detections, 'clip': clip}
