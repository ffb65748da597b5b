"""Names of mmdetection 3: necks, transformers and heads of query detectors."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.convert import rules
from jaxdet.convert.rules import LINEAR, Rule


def query_detector(model: ConfigDict) -> list[Rule]:
  """The rules of DETR or Deformable DETR but for the backbone."""
  return channel_mapper(model) + (detr(model) if model.name == 'detr' else deformable_detr(model))


def channel_mapper(model: ConfigDict) -> list[Rule]:
  """The rules of a neck without a path between levels."""
  entries = []
  own = [level for level in model.neck.levels if level <= 5]
  for i, level in enumerate(model.neck.levels):
    upstream = f'neck.convs.{i}' if level in own else f'neck.extra_convs.{i - len(own)}'
    entries += rules.layer(f'{upstream}.conv', f'neck/level{level}', bias=model.neck.use_bias)
    if model.neck.norm:
      entries += rules.norm(f'{upstream}.gn', f'neck/level{level}_norm', model.neck.norm)
  return entries


def detr(model: ConfigDict) -> list[Rule]:
  """The rules of DETR's transformer and its heads."""
  entries = []
  for part, attentions in (('encoder', ('self',)), ('decoder', ('self', 'cross'))):
    for i in range(model[part].layers):
      upstream, path = f'{part}.layers.{i}', f'{part}/layer{i}'
      for kind in attentions:
        entries += attention(f'{upstream}.{kind}_attn.attn', f'{path}/{kind}_attention')
      entries += rest_of_layer(upstream, path, norms=len(attentions) + 1)
  entries += layer_norm('decoder.post_norm', 'decoder/post_norm')
  names = {'logits': 'fc_cls', 'box0': 'reg_ffn.layers.0.0', 'box1': 'reg_ffn.layers.1', 'box2': 'fc_reg'}
  for name, upstream in names.items():
    entries += rules.layer(f'bbox_head.{upstream}', f'decoder/prediction/{name}', LINEAR)
  return [*entries, Rule('query_embedding.weight', 'params/decoder/queries/embedding')]


def deformable_detr(model: ConfigDict) -> list[Rule]:
  """The rules of Deformable DETR's transformer and its heads."""
  entries = [Rule('level_embed', 'params/encoder/levels/embedding')]
  for i in range(model.encoder.layers):
    upstream, path = f'encoder.layers.{i}', f'encoder/layer{i}'
    entries += deformable_attention(f'{upstream}.self_attn', f'{path}/self_attention')
    entries += rest_of_layer(upstream, path, norms=2)
  layers = model.decoder.layers
  for i in range(layers):
    upstream, path = f'decoder.layers.{i}', f'decoder/layer{i}'
    entries += attention(f'{upstream}.self_attn.attn', f'{path}/self_attention')
    entries += deformable_attention(f'{upstream}.cross_attn', f'{path}/cross_attention')
    entries += rest_of_layer(upstream, path, norms=3)
    if model.decoder.refine:
      entries += prediction(i, f'decoder/prediction{i}')
    else:  # the same heads under a name for each layer
      entries += [dataclasses.replace(rule, copy=i > 0) for rule in prediction(i, 'decoder/prediction')]
  if 'encoder_proposals' not in model:
    entries.append(Rule('query_embedding.weight', 'params/decoder/queries/embedding'))
    return entries + rules.layer('reference_points_fc', 'decoder/reference_points', LINEAR)
  for upstream, path in (('memory_trans', 'proposals/memory'), ('pos_trans', 'decoder/query')):
    entries += rules.layer(f'{upstream}_fc', f'{path}_proj', LINEAR)
    entries += layer_norm(f'{upstream}_norm', f'{path}_norm')
  return entries + prediction(layers, 'proposals/prediction')


def prediction(index: int, path: str) -> list[Rule]:
  """The rules of Deformable DETR's heads for one layer."""
  entries = rules.layer(f'bbox_head.cls_branches.{index}', f'{path}/logits', LINEAR)
  for k in range(3):
    entries += rules.layer(f'bbox_head.reg_branches.{index}.{2 * k}', f'{path}/box{k}', LINEAR)
  return entries


def attention(upstream: str, path: str) -> list[Rule]:
  """The rules of torch's multi-head attention."""
  in_proj = [
    Rule(f'{upstream}.in_proj_weight', f'params/{path}/in_proj/kernel', LINEAR),
    Rule(f'{upstream}.in_proj_bias', f'params/{path}/in_proj/bias'),
  ]
  return in_proj + rules.layer(f'{upstream}.out_proj', f'{path}/out_proj', LINEAR)


def deformable_attention(upstream: str, path: str) -> list[Rule]:
  """The rules of multi-scale deformable attention, whose layers have the same names everywhere."""
  entries = []
  for name in ('sampling_offsets', 'attention_weights', 'value_proj', 'output_proj'):
    entries += rules.layer(f'{upstream}.{name}', f'{path}/{name}', LINEAR)
  return entries


def rest_of_layer(upstream: str, path: str, norms: int) -> list[Rule]:
  """The rules of the feed-forward network and the norms of a layer."""
  entries = rules.layer(f'{upstream}.ffn.layers.0.0', f'{path}/feed_forward/linear1', LINEAR)
  entries += rules.layer(f'{upstream}.ffn.layers.1', f'{path}/feed_forward/linear2', LINEAR)
  for k in range(norms):
    entries += layer_norm(f'{upstream}.norms.{k}', f'{path}/norm{k + 1}')
  return entries


def layer_norm(upstream: str, path: str) -> list[Rule]:
  """The rules of a layer norm."""
  return [Rule(f'{upstream}.weight', f'params/{path}/scale'), Rule(f'{upstream}.bias', f'params/{path}/bias')]
