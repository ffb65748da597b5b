"""Names of mmdetection 3's transformers and heads of query detectors."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from jaxdet.convert.names import Names, within

# torch's multi-head attention.
ATTENTION = {'in_proj/kernel': 'in_proj_weight', 'in_proj/bias': 'in_proj_bias', 'out_proj': 'out_proj'}
# Multi-scale deformable attention: the same names everywhere.
DEFORMABLE_ATTENTION = {name: name for name in ('sampling_offsets', 'attention_weights', 'value_proj', 'output_proj')}
SELF_ATTENTION = within('self_attention', 'self_attn.attn', ATTENTION)
REST_OF_LAYER = {
  'feed_forward/linear1': 'ffn.layers.0.0',
  'feed_forward/linear2': 'ffn.layers.1',
  'norm#': lambda k: f'norms.{k - 1}',
}


def detr_encoder(settings: ConfigDict) -> Names:
  """Names of DETR's encoder."""
  return within('layer#', lambda i: f'encoder.layers.{i}', SELF_ATTENTION | REST_OF_LAYER)


def detr_decoder(settings: ConfigDict) -> Names:
  """Names of DETR's decoder and its heads."""
  layer = SELF_ATTENTION | within('cross_attention', 'cross_attn.attn', ATTENTION) | REST_OF_LAYER
  return within('layer#', lambda i: f'decoder.layers.{i}', layer) | {
    'post_norm': 'decoder.post_norm',
    'prediction/logits': 'bbox_head.fc_cls',
    'prediction/box0': 'bbox_head.reg_ffn.layers.0.0',
    'prediction/box1': 'bbox_head.reg_ffn.layers.1',
    'prediction/box2': 'bbox_head.fc_reg',
    'queries': 'query_embedding',
  }


def deformable_encoder(settings: ConfigDict) -> Names:
  """Names of Deformable DETR's encoder."""
  layer = within('self_attention', 'self_attn', DEFORMABLE_ATTENTION) | REST_OF_LAYER
  return {'levels/embedding': 'level_embed'} | within('layer#', lambda i: f'encoder.layers.{i}', layer)


def deformable_decoder(settings: ConfigDict) -> Names:
  """Names of Deformable DETR's decoder and its heads: one for each layer, or the same under each layer's name."""
  layer = SELF_ATTENTION | within('cross_attention', 'cross_attn', DEFORMABLE_ATTENTION) | REST_OF_LAYER
  return (
    within('layer#', lambda i: f'decoder.layers.{i}', layer)
    | predictions(range(settings.layers))
    | {
      'prediction#/logits': lambda i: f'bbox_head.cls_branches.{i}',
      'prediction#/box#': lambda i, k: f'bbox_head.reg_branches.{i}.{2 * k}',
      'queries': 'query_embedding',
      'reference_points': 'reference_points_fc',
      'query_proj': 'pos_trans_fc',
      'query_norm': 'pos_trans_norm',
    }
  )


def query_proposals(decoder: ConfigDict) -> Names:
  """Names of the first stage's query proposals; their heads are counted after the decoder's."""
  return {'memory_proj': 'memory_trans_fc', 'memory_norm': 'memory_trans_norm'} | predictions([decoder.layers])


def predictions(layers: Sequence[int]) -> Names:
  """Names of heads that several layers share."""
  return {
    'prediction/logits': [f'bbox_head.cls_branches.{i}' for i in layers],
    'prediction/box#': lambda k: [f'bbox_head.reg_branches.{i}.{2 * k}' for i in layers],
  }


ENCODERS = {'detr': detr_encoder, 'deformable_detr': deformable_encoder}  # from `config.model.encoder`
DECODERS = {'detr': detr_decoder, 'deformable_detr': deformable_decoder}  # from `config.model.decoder`
PROPOSALS = {'deformable_detr': query_proposals}  # from `config.model.decoder`
