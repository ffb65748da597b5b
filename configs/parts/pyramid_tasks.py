"""Tasks on the pyramid: `config.model.pyramid_tasks`, settings by the names of models/pyramid_tasks."""

COCO_STUFF = 54  # classes of COCO's panoptic maps in training: one of all things, and 53 of stuff


def semantic_fpn(*, num_classes: int = COCO_STUFF, loss_weight: float = 1.0) -> dict:
  """Semantic segmentation by Panoptic FPN's head (Kirillov et al., 2019).

  Args:
    num_classes: of the semantic maps.
    loss_weight: of their mean cross entropy.
  """
  return {
    'semantic': {
      'num_classes': num_classes,
      'loss_weight': loss_weight,
      'network': {'name': 'semantic_fpn', 'levels': (2, 3, 4, 5), 'channels': 128, 'norm': 'gn'},
    }
  }
