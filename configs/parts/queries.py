"""Transformers of query detectors: encoder, decoder, matching, and losses."""


def detr() -> dict:
  """DETR's transformer (Carion et al., 2020): 100 queries, on one map."""
  return {
    'encoder': {'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1},
    'decoder': {'queries': 100, 'layers': 6, 'heads': 8, 'feed_forward': 2048, 'dropout': 0.1},
    'position_offset': 0.0,  # of rows and columns that count from 1, see models/transformers/cells.py
    'class_loss': {'name': 'cross_entropy', 'background_weight': 0.1},
    'match': {'class_weight': 1.0, 'box_weight': 5.0, 'giou_weight': 2.0},  # weights of costs
    'loss_weights': {'class': 1.0, 'box': 5.0, 'giou': 2.0},
  }


def deformable_detr(*, refine: bool, two_stage: bool, class_loss: dict, proposal_weights: dict) -> dict:
  """Deformable DETR's transformer (Zhu et al., 2021): 300 queries, four points per head and level.

  Args:
    refine: the boxes of one layer are the references of the next.
    two_stage: initialise queries with the encoder's best proposals; else queries are learned.
    class_loss: 'focal', or Detic's 'federated_focal'.
    proposal_weights: weights of the losses of the encoder's proposals.
  """
  encoder = {'layers': 6, 'heads': 8, 'points': 4, 'feed_forward': 1024, 'dropout': 0.1}
  return {
    'encoder': encoder,
    'decoder': {'queries': 300, 'refine': refine, **encoder},
    'position_offset': -0.5,
    'class_loss': class_loss,
    'match': {'class_weight': 2.0, 'box_weight': 5.0, 'giou_weight': 2.0},
    'loss_weights': loss_weights(),
    # First stage of two.
    **({'encoder_proposals': {'loss_weights': proposal_weights}} if two_stage else {}),
  }


def loss_weights() -> dict:
  """Deformable DETR's weights of the losses of every layer."""
  return {'class': 2.0, 'box': 5.0, 'giou': 2.0}
