"""Names of Detectron2."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from jaxdet.convert import detic_query, rules
from jaxdet.convert.rules import Rule
from jaxdet.models.backbones.resnet import residual_blocks


def table(model: ConfigDict) -> list[Rule]:
  """The rules of `config.model`, a detector of the R-CNN family, a dense one or Detic's Deformable DETR."""
  if model.name == 'deformable_detr':
    return resnet(model.backbone, detic_query.BACKBONE, model.channel_order) + detic_query.deformable_detr(model)
  pyramid = model.neck.name == 'fpn'
  entries = resnet(model.backbone, 'backbone.bottom_up.' if pyramid else 'backbone.', model.channel_order)
  if pyramid:
    entries += fpn(model)
  if model.name == 'dense':
    return entries + dense_head(model)
  if model.name in ('two_stage', 'proposal_network') and model.proposals.name == 'rpn':
    entries += rpn_head(model)
  if model.name == 'two_stage' and 'cascade' not in model.roi:
    entries += roi_heads(model, ends=('',), mask_end='')
  if model.name == 'two_stage' and 'cascade' in model.roi:
    entries += roi_heads(model, ends=range(len(model.roi.cascade.ious)), mask_end='0')
  return entries


def resnet(backbone: ConfigDict, prefix: str, channel_order: str) -> list[Rule]:
  """The rules of a ResNet or ResNeXt.

  Args:
    backbone: `config.model.backbone`.
    prefix: of upstream's names, with its dot.
    channel_order: 'RGB' or 'BGR', of the images that upstream reads.
  """
  upstream = f'{prefix}stem.conv1'
  entries = rules.layer(upstream, 'backbone/stem/conv', rules.first_conv(channel_order), bias=False)
  entries += rules.norm(f'{upstream}.norm', 'backbone/stem/norm', backbone.norm)
  return entries + stages(backbone, prefix, 'backbone', range(2, 2 + backbone.num_stages))


def stages(backbone: ConfigDict, prefix: str, path: str, levels: Sequence[int]) -> list[Rule]:
  """The rules of a ResNet's residual blocks, which are `path`/stage<level> here."""
  entries = []
  for level, index, convs, projected in residual_blocks(backbone.depth, levels):
    upstream, block = f'{prefix}res{level}.{index}', f'{path}/stage{level}/block{index}'
    layers = [(f'{upstream}.conv{i}', f'{block}/conv{i}', f'{block}/norm{i}') for i in range(1, convs + 1)]
    if projected:
      layers.append((f'{upstream}.shortcut', f'{block}/shortcut_conv', f'{block}/shortcut_norm'))
    for name, conv, norm in layers:
      entries += rules.layer(name, conv, bias=False) + rules.norm(f'{name}.norm', norm, backbone.norm)
    if backbone.deformable and level in backbone.deformable_levels:
      entries += rules.layer(f'{upstream}.conv2_offset', f'{block}/conv2/offset')
  return entries


def fpn(model: ConfigDict) -> list[Rule]:
  """The rules of a feature pyramid network."""
  entries = []
  for level in model.neck.levels:
    if level <= 5:
      for kind in ('lateral', 'output'):
        entries += conv_norm(f'backbone.fpn_{kind}{level}', f'neck/{kind}{level}', model.neck.norm)
    elif model.neck.extra != 'pool':
      entries += conv_norm(f'backbone.top_block.p{level}', f'neck/output{level}', model.neck.norm)
  return entries


def rpn_head(model: ConfigDict) -> list[Rule]:
  """The rules of the head of a region proposal network."""
  head, entries = 'proposal_generator.rpn_head', []
  for i in range(model.proposals.num_convs):
    entries += rules.layer(f'{head}.conv' if model.proposals.num_convs == 1 else f'{head}.conv.conv{i}', f'rpn_head/conv{i}')
  entries += rules.layer(f'{head}.objectness_logits', 'rpn_head/logits')
  return entries + rules.layer(f'{head}.anchor_deltas', 'rpn_head/deltas')


def dense_head(model: ConfigDict) -> list[Rule]:
  """The rules of the head of RetinaNet or FCOS: its towers are lists of convolutions, norms and activations."""
  head, entries = model.head.network, []
  step = 3 if head.norm else 2
  for i in range(head.num_convs):
    for upstream, path in (('cls_subnet', 'class_conv'), ('bbox_subnet', 'box_conv')):
      entries += rules.layer(f'head.{upstream}.{step * i}', f'head/{path}{i}', bias=head.conv_bias)
      if head.norm:
        entries += rules.norm(f'head.{upstream}.{step * i + 1}', f'head/{path}{i}_norm', head.norm)
  layers = {'logits': 'cls_score', 'boxes': 'bbox_pred'} | ({'centerness': 'ctrness'} if head.centerness else {})
  for path, upstream in layers.items():
    entries += rules.layer(f'head.{upstream}', f'head/{path}')
  return entries


def roi_heads(model: ConfigDict, ends: Sequence[str | int], mask_end: str) -> list[Rule]:
  """The rules of the heads on regions; `ends` are the numbers of a cascade's box heads, '' for a single one."""
  entries = []
  if model.roi.shared_head == 'res5':
    entries += stages(model.backbone, 'roi_heads.', 'shared_head', levels=(5,))
  box = model.roi.box_head
  for end in ends:
    upstream = f'roi_heads.box_head.{end}'.rstrip('.')
    for i in range(box.num_convs):
      entries += conv_norm(f'{upstream}.conv{i + 1}', f'box_head{end}/conv{i}', box.norm)
    for i in range(box.num_fcs):
      layout = rules.LINEAR if i else rules.linear_after_flatten(box.roi_size)
      entries += rules.layer(f'{upstream}.fc{i + 1}', f'box_head{end}/fc{i}', layout)
    upstream = f'roi_heads.box_predictor.{end}'.rstrip('.')
    entries += classifier(model, upstream, f'box_head{end}')
    entries += rules.layer(f'{upstream}.bbox_pred', f'box_head{end}/deltas', rules.LINEAR)
  mask = model.roi.get('mask_head')
  if mask:
    path = f'mask_head{mask_end}'
    for i in range(mask.num_convs):
      entries += conv_norm(f'roi_heads.mask_head.mask_fcn{i + 1}', f'{path}/conv{i}', mask.norm)
    entries += rules.layer('roi_heads.mask_head.deconv', f'{path}/deconv', rules.DECONV)
    entries += rules.layer('roi_heads.mask_head.predictor', f'{path}/logits')
  return entries


def classifier(model: ConfigDict, upstream: str, path: str) -> list[Rule]:
  """The rules of a box head's last layer for classes; the cosine form and DisAlign have the names of cvpods."""
  if model.roi.box_head.classifier == 'linear':
    entries = rules.layer(f'{upstream}.cls_score', f'{path}/logits', rules.LINEAR)
  else:
    entries = rules.layer(f'{upstream}.cls_score', f'{path}/logits', rules.LINEAR, bias=False)
    entries += [Rule(f'{upstream}.cls_score.scale', f'params/{path}/logits/scale')]
  if model.roi.box_head.calibration == 'disalign':
    for name in ('scale', 'bias'):
      entries.append(Rule(f'{upstream}.logit_{name}', f'params/{path}/calibration/{name}'))
    entries += rules.layer(f'{upstream}.confidence_layer', f'{path}/calibration/confidence', rules.LINEAR)
  return entries


def conv_norm(upstream: str, path: str, norm: str) -> list[Rule]:
  """The rules of a convolution with a bias or, where `norm` is not '', a norm."""
  entries = rules.layer(upstream, path, bias=not norm)
  return entries + rules.norm(f'{upstream}.norm', f'{path}_norm', norm) if norm else entries
