"""Assembles a complete config, with every value that a user may change."""

from ml_collections import ConfigDict, config_dict

OWN_BEST_METRIC = {
  'voc': 'bbox/AP50_11',  # at an IoU of 0.5
  'proposals': 'bbox/AR@1000',
  'panoptic': 'panoptic/PQ',
  'semantic': 'semantic/mIoU',
}


def experiment(*, model: dict, data: dict, train: dict, evaluation: dict) -> ConfigDict:
  """Makes the locked config of a recipe; the evaluation's main metric chooses the best checkpoint."""
  train = {**train, 'best_metric': best_metric(evaluation)}
  return ConfigDict(
    {
      'seed': 0,
      # Folder of the compilation cache; '': no cache. None: JAX_COMPILATION_CACHE_DIR if set, else the user's cache
      # folder.
      'compilation_cache': config_dict.placeholder(str),
      'model': model,
      'data': data,
      'train': train,
      'eval': evaluation,
    }
  ).lock()


def evaluation(protocol: str, masks: bool) -> dict:
  """Settings of evaluation."""
  return {
    'batch_size': 8,
    'protocol': protocol,  # the evaluator: 'lvis', 'coco', 'lvis_fixed' (fixed AP), 'voc', 'proposals',
    # 'panoptic' or 'semantic'
    # A file of ids (JSON list, text, annotation file): these images of the validation split alone. '': all.
    'image_ids': '',
    'iou_types': ('bbox', 'segm') if masks else ('bbox',),
    'pictures': 16,  # drawn into the workdir
    'picture_threshold': 0.5,  # least score of drawn detections
  }


def panoptic_evaluation(annotations: str, maps: str) -> dict:
  """Evaluation of panoptic segmentation, together with boxes, masks, and semantic segmentation.

  Args:
    annotations: COCO's panoptic JSON file, below config.data.dir.
    maps: the folder of its PNGs, below config.data.dir.
  """
  return {**evaluation('panoptic', masks=True), 'panoptic': {'annotations': annotations, 'maps': maps}}


def semantic_evaluation(folder: str, *, suffix: str = '.png', ignore: int = 255) -> dict:
  """Evaluation of semantic segmentation.

  Args:
    folder: of the ground-truth maps, below config.data.dir; they have the images' names.
    suffix: replaces the suffix of the images' names.
    ignore: value of ignored pixels.
  """
  settings = {'dir': folder, 'suffix': suffix, 'ignore': ignore}
  return {**evaluation('semantic', masks=False), 'semantic': settings}


def best_metric(evaluation: dict) -> str:
  """Metric for ranking models: the protocol's own, or else AP, of masks if they are evaluated."""
  return OWN_BEST_METRIC.get(evaluation['protocol'], f'{evaluation["iou_types"][-1]}/AP')
