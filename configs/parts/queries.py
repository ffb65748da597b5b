"""Transformers of query detectors: encoder, decoder, how objects choose queries, and losses."""


def detr() -> dict:
  """DETR's (Carion et al., 2020): 100 queries, on one map."""
  return {
    'encoder': {'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1},
    'decoder': {'queries': 100, 'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1},
    'position_offset': 0.0,  # of rows and columns that count from 1, see models/transformers/cells.py
    'class_loss': {'name': 'cross_entropy', 'background_weight': 0.1},
    'match': {'class_weight': 1.0, 'box_weight': 5.0, 'giou_weight': 2.0},  # of costs
    'loss_weights': {'class': 1.0, 'box': 5.0, 'giou': 2.0},
  }


def deformable_detr(*, refine: bool, two_stage: bool, class_loss: dict, proposal_weights: dict) -> dict:
  """Deformable DETR's (Zhu et al., 2021): 300 queries, four points a head and level.

  Args:
    refine: the boxes of one layer are the references of the next.
    two_stage: queries begin with the best boxes that the encoder proposes; without, they are learned.
    class_loss: 'focal', or Detic's 'federated_focal'.
    proposal_weights: of the losses of the encoder's boxes.
  """
  encoder = {'layers': 6, 'heads': 8, 'points': 4, 'feed_forward': 1024, 'dropout': 0.1}
  return {
    'encoder': encoder,
    'decoder': {'queries': 300, 'refine': refine, **encoder},
    'position_offset': -0.5,
    'class_loss': class_loss,
    'match': {'class_weight': 2.0, 'box_weight': 5.0, 'giou_weight': 2.0},
    'loss_weights': loss_weights(),
    # Of the encoder's cells; without, queries are learned.
    **({'encoder_proposals': {'loss_weights': proposal_weights}} if two_stage else {}),
  }


def loss_weights() -> dict:
  """Deformable DETR's weights of the losses of every layer."""
  return {'class': 2.0, 'box': 5.0, 'giou': 2.0}
