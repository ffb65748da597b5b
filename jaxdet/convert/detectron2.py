"""Names of Detectron2: Faster and Mask R-CNN."""

from ml_collections import ConfigDict

from jaxdet.convert import rules
from jaxdet.convert.rules import Rule
from jaxdet.models.backbones.resnet import residual_blocks


def resnet(backbone: ConfigDict, prefix: str, channel_order: str) -> list[Rule]:
  """The rules of a ResNet or ResNeXt.

  Args:
    backbone: `config.model.backbone`.
    prefix: of upstream's names, with its dot.
    channel_order: 'RGB' or 'BGR', of the images that upstream reads.
  """

  def conv_norm(upstream: str, conv: str, norm: str, layout: rules.Layout = rules.CONV) -> list[Rule]:
    table = rules.layer(f'{prefix}{upstream}', f'backbone/{conv}', layout, bias=False)
    return table + rules.norm(f'{prefix}{upstream}.norm', f'backbone/{norm}', backbone.norm)

  table = conv_norm('stem.conv1', 'stem/conv', 'stem/norm', rules.first_conv(channel_order))
  for level, index, convs, projected in residual_blocks(backbone.depth):
    upstream, path = f'res{level}.{index}', f'stage{level}/block{index}'
    for i in range(1, convs + 1):
      table += conv_norm(f'{upstream}.conv{i}', f'{path}/conv{i}', f'{path}/norm{i}')
    if projected:
      table += conv_norm(f'{upstream}.shortcut', f'{path}/shortcut_conv', f'{path}/shortcut_norm')
  return table


def table(model: ConfigDict) -> list[Rule]:
  """The rules of `config.model`, a Mask or Faster R-CNN with an FPN."""
  entries = resnet(model.backbone, 'backbone.bottom_up.', model.channel_order)
  for level in (level for level in model.neck.levels if level <= 5):
    for kind in ('lateral', 'output'):
      upstream, path = f'backbone.fpn_{kind}{level}', f'neck/{kind}{level}'
      entries += rules.layer(upstream, path, bias=not model.neck.norm)
      if model.neck.norm:
        entries += rules.norm(f'{upstream}.norm', f'{path}_norm', model.neck.norm)
  head = 'proposal_generator.rpn_head'
  for i in range(model.rpn.num_convs):
    upstream = f'{head}.conv' if model.rpn.num_convs == 1 else f'{head}.conv.conv{i}'
    entries += rules.layer(upstream, f'rpn_head/conv{i}')
  entries += rules.layer(f'{head}.objectness_logits', 'rpn_head/logits')
  entries += rules.layer(f'{head}.anchor_deltas', 'rpn_head/deltas')

  box, mask = model.roi.box_head, model.roi.mask_head
  for i in range(box.num_fcs):
    layout = rules.LINEAR if i else rules.linear_after_flatten(box.roi_size)
    entries += rules.layer(f'roi_heads.box_head.fc{i + 1}', f'box_head/fc{i}', layout)
  entries += rules.layer('roi_heads.box_predictor.cls_score', 'box_head/logits', rules.LINEAR)
  entries += rules.layer('roi_heads.box_predictor.bbox_pred', 'box_head/deltas', rules.LINEAR)
  if mask.name:
    for i in range(mask.num_convs):
      entries += rules.layer(f'roi_heads.mask_head.mask_fcn{i + 1}', f'mask_head/conv{i}')
    entries += rules.layer('roi_heads.mask_head.deconv', 'mask_head/deconv', rules.DECONV)
    entries += rules.layer('roi_heads.mask_head.predictor', 'mask_head/logits')
  return entries
