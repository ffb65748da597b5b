"""Names of Detic's Deformable DETR: the original program's, with Detectron2's backbone."""

from ml_collections import ConfigDict

from jaxdet.convert.mmdet.queries import ATTENTION, DEFORMABLE_ATTENTION
from jaxdet.convert.names import Names, within

MODULES = ('detr.transformer.decoder', 'detr')  # both contain the heads


def deformable_encoder(settings: ConfigDict) -> Names:
  """Names of the encoder."""
  layer = within('self_attention', 'self_attn', DEFORMABLE_ATTENTION) | rest_of_layer(norms=(1, 2))
  layers = within('layer#', lambda i: f'detr.transformer.encoder.layers.{i}', layer)
  return {'levels/embedding': 'detr.transformer.level_embed'} | layers


def deformable_decoder(settings: ConfigDict) -> Names:
  """Names of the decoder of two stages and of the heads of its layers."""
  layer = within('self_attention', 'self_attn', ATTENTION)
  layer |= within('cross_attention', 'cross_attn', DEFORMABLE_ATTENTION) | rest_of_layer(norms=(2, 1, 3))
  return within('layer#', lambda i: f'detr.transformer.decoder.layers.{i}', layer) | {
    'query_proj': 'detr.transformer.pos_trans',
    'query_norm': 'detr.transformer.pos_trans_norm',
    'prediction#/logits': lambda i: [f'{module}.class_embed.{i}' for module in MODULES],
    'prediction#/box#': lambda i, k: [f'{module}.bbox_embed.{i}.layers.{k}' for module in MODULES],
  }


def query_proposals(decoder: ConfigDict) -> Names:
  """Names of the first stage's query proposals; their heads are counted after the decoder's."""
  return {
    'memory_proj': 'detr.transformer.enc_output',
    'memory_norm': 'detr.transformer.enc_output_norm',
    'prediction/logits': [f'{module}.class_embed.{decoder.layers}' for module in MODULES],
    'prediction/box#': lambda k: [f'{module}.bbox_embed.{decoder.layers}.layers.{k}' for module in MODULES],
  }


def rest_of_layer(norms: tuple[int, ...]) -> Names:
  """Names of the feed-forward network and of the norms, which have the numbers `norms` in our order."""
  return {
    'feed_forward/linear#': lambda k: f'linear{k}',
    'norm#': lambda k: f'norm{norms[k - 1]}',
  }


ENCODERS = {'deformable_detr': deformable_encoder}  # from `config.model.encoder`
DECODERS = {'deformable_detr': deformable_decoder}  # from `config.model.decoder`
PROPOSALS = {'deformable_detr': query_proposals}  # from `config.model.decoder`
