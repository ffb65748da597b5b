"""Names of torchvision's ResNets and of its Mask R-CNN (`maskrcnn_resnet50_fpn`)."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from jaxdet.convert import rules
from jaxdet.convert.rules import Rule
from jaxdet.models.backbones.resnet import residual_blocks


def resnet(
  backbone: ConfigDict,
  prefix: str = '',
  channel_order: str = 'RGB',
  norm: str = 'bn',
) -> list[Rule]:
  """The rules of a ResNet or ResNeXt without classifier.

  Args:
    backbone: `config.model.backbone`.
    prefix: of upstream's names, with its dot.
    channel_order: 'RGB' or 'BGR', of the images that upstream reads.
    norm: what upstream calls its norms, without the number.
  """
  entries = rules.layer(f'{prefix}conv1', 'backbone/stem/conv', rules.first_conv(channel_order), bias=False)
  entries += rules.norm(f'{prefix}{norm}1', 'backbone/stem/norm', backbone.norm)
  return entries + stages(backbone, prefix, 'backbone', norm, range(2, 2 + backbone.num_stages))


def stages(backbone: ConfigDict, prefix: str, path: str, norm: str, levels: Sequence[int]) -> list[Rule]:
  """The rules of a ResNet's residual blocks, which are `path`/stage<level> here; arguments as for `resnet`."""
  entries = []
  for level, index, convs, projected in residual_blocks(backbone.depth, levels):
    upstream, block = f'{prefix}layer{level - 1}.{index}', f'{path}/stage{level}/block{index}'
    for i in range(1, convs + 1):
      entries += rules.layer(f'{upstream}.conv{i}', f'{block}/conv{i}', bias=False)
      entries += rules.norm(f'{upstream}.{norm}{i}', f'{block}/norm{i}', backbone.norm)
    if backbone.deformable and level in backbone.deformable_levels:  # mmdetection's name
      entries += rules.layer(f'{upstream}.conv2.conv_offset', f'{block}/conv2/offset')
    if projected:
      entries += rules.layer(f'{upstream}.downsample.0', f'{block}/shortcut_conv', bias=False)
      entries += rules.norm(f'{upstream}.downsample.1', f'{block}/shortcut_norm', backbone.norm)
  return entries


def table(model: ConfigDict) -> list[Rule]:
  """The rules of `config.model`, a Mask or Faster R-CNN with an FPN without norm.

  torchvision counts background as class 0 and regresses boxes and masks for it too. These rows are never
  trained upstream: they are dropped on import and zeros on export.
  """
  entries = resnet(model.backbone, 'backbone.body.', model.channel_order)
  for i, level in enumerate(level for level in model.neck.levels if level <= 5):
    entries += rules.layer(f'backbone.fpn.inner_blocks.{i}.0', f'neck/lateral{level}')
    entries += rules.layer(f'backbone.fpn.layer_blocks.{i}.0', f'neck/output{level}')
  for i in range(model.proposals.num_convs):
    entries += rules.layer(f'rpn.head.conv.{i}.0', f'rpn_head/conv{i}')
  entries += rules.layer('rpn.head.cls_logits', 'rpn_head/logits')
  entries += rules.layer('rpn.head.bbox_pred', 'rpn_head/deltas')

  box, mask = model.roi.box_head, model.roi.get('mask_head')
  entries += rules.layer('roi_heads.box_head.fc6', 'box_head/fc0', rules.linear_after_flatten(box.roi_size))
  entries += rules.layer('roi_heads.box_head.fc7', 'box_head/fc1', rules.LINEAR)
  predictor = 'roi_heads.box_predictor'
  entries += rules.layer(f'{predictor}.cls_score', 'box_head/logits', rules.LINEAR, rows=rules.FIRST_ROW_LAST)
  entries += rules.layer(f'{predictor}.bbox_pred', 'box_head/deltas', rules.LINEAR, rows=rules.without_first_rows(4))
  if mask:
    for i in range(mask.num_convs):
      entries += rules.layer(f'roi_heads.mask_head.{i}.0', f'mask_head/conv{i}')
    predictor = 'roi_heads.mask_predictor'
    entries += rules.layer(f'{predictor}.conv5_mask', 'mask_head/deconv', rules.DECONV)
    entries += rules.layer(f'{predictor}.mask_fcn_logits', 'mask_head/logits', rows=rules.without_first_rows(1))
  return entries
