"""Assembles a complete config, with every value that a user may change."""

from ml_collections import ConfigDict, config_dict


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
    'protocol': protocol,  # 'lvis', 'coco', 'lvis_fixed' (fixed AP) or 'voc'
    # A file of ids (JSON list, text, annotation file): these images of the validation split alone. '': all.
    'image_ids': '',
    'iou_types': ('bbox', 'segm') if masks else ('bbox',),
    'pictures': 16,  # drawn into the workdir
    'picture_threshold': 0.5,  # least score of drawn detections
  }


def best_metric(evaluation: dict) -> str:
  """The metric that a protocol ranks models by: AP of masks where there are any, VOC's at an IoU of 0.5."""
  return 'bbox/AP50_11' if evaluation['protocol'] == 'voc' else f'{evaluation["iou_types"][-1]}/AP'
