"""Names of Deformable DETR as Detic has it: the original program's, round Detectron2's backbone."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.convert import rules
from jaxdet.convert.mmdet_query import attention, deformable_attention, layer_norm
from jaxdet.convert.rules import LINEAR, Rule

BACKBONE = 'detr.backbone.0.backbone.'  # what stands before the names of the backbone


def deformable_detr(model: ConfigDict) -> list[Rule]:
  """The rules of a two-stage Deformable DETR with refinement, but for the backbone."""
  entries = [Rule('detr.transformer.level_embed', 'params/encoder/levels/embedding')]
  for i, level in enumerate(model.neck.levels):
    entries += rules.layer(f'detr.input_proj.{i}.0', f'neck/level{level}')
    entries += rules.norm(f'detr.input_proj.{i}.1', f'neck/level{level}_norm', model.neck.norm)
  for i in range(model.encoder.layers):
    upstream, path = f'detr.transformer.encoder.layers.{i}', f'encoder/layer{i}'
    entries += deformable_attention(f'{upstream}.self_attn', f'{path}/self_attention')
    entries += rest_of_layer(upstream, path, norms=(1, 2))
  layers = model.decoder.layers
  for i in range(layers):
    upstream, path = f'detr.transformer.decoder.layers.{i}', f'decoder/layer{i}'
    entries += attention(f'{upstream}.self_attn', f'{path}/self_attention')
    entries += deformable_attention(f'{upstream}.cross_attn', f'{path}/cross_attention')
    entries += rest_of_layer(upstream, path, norms=(2, 1, 3))
    entries += prediction(i, f'decoder/prediction{i}')
  for upstream, path in (('enc_output', 'proposals/memory'), ('pos_trans', 'decoder/query')):
    entries += rules.layer(f'detr.transformer.{upstream}', f'{path}_proj', LINEAR)
    entries += layer_norm(f'detr.transformer.{upstream}_norm', f'{path}_norm')
  return entries + prediction(layers, 'proposals/prediction')


def prediction(index: int, path: str) -> list[Rule]:
  """The rules of the heads for one layer, which have two names."""
  entries = []
  for copy, module in enumerate(('detr.transformer.decoder', 'detr')):
    named = rules.layer(f'{module}.class_embed.{index}', f'{path}/logits', LINEAR)
    for k in range(3):
      named += rules.layer(f'{module}.bbox_embed.{index}.layers.{k}', f'{path}/box{k}', LINEAR)
    entries += [dataclasses.replace(rule, copy=bool(copy)) for rule in named]
  return entries


def rest_of_layer(upstream: str, path: str, norms: tuple[int, ...]) -> list[Rule]:
  """The rules of the feed-forward network, and of the norms, which have these numbers upstream in our order."""
  entries = []
  for k in (1, 2):
    entries += rules.layer(f'{upstream}.linear{k}', f'{path}/feed_forward/linear{k}', LINEAR)
  for k, number in enumerate(norms, start=1):
    entries += layer_norm(f'{upstream}.norm{number}', f'{path}/norm{k}')
  return entries
