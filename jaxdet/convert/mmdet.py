"""Names of mmdetection 2 and 3: Faster and Mask R-CNN."""

from ml_collections import ConfigDict

from jaxdet.convert import rules, torchvision
from jaxdet.convert.rules import Rule


def table(model: ConfigDict) -> list[Rule]:
  """The rules of `config.model`, a Mask or Faster R-CNN with an FPN."""
  norm = 'gn' if model.backbone.norm == 'gn' else 'bn'
  entries = torchvision.resnet(model.backbone, 'backbone.', model.channel_order, norm)
  for i, level in enumerate(level for level in model.neck.levels if level <= 5):
    for upstream, path in (('lateral_convs', 'lateral'), ('fpn_convs', 'output')):
      upstream, path = f'neck.{upstream}.{i}', f'neck/{path}{level}'
      entries += rules.layer(f'{upstream}.conv', path, bias=not model.neck.norm)
      if model.neck.norm:
        entries += rules.norm(f'{upstream}.{model.neck.norm}', f'{path}_norm', model.neck.norm)
  for i in range(model.rpn.num_convs):
    upstream = 'rpn_head.rpn_conv' if model.rpn.num_convs == 1 else f'rpn_head.rpn_conv.{i}.conv'
    entries += rules.layer(upstream, f'rpn_head/conv{i}')
  entries += rules.layer('rpn_head.rpn_cls', 'rpn_head/logits')
  entries += rules.layer('rpn_head.rpn_reg', 'rpn_head/deltas')

  box, mask = model.roi.box_head, model.roi.mask_head
  for i in range(box.num_fcs):
    layout = rules.LINEAR if i else rules.linear_after_flatten(box.roi_size)
    entries += rules.layer(f'roi_head.bbox_head.shared_fcs.{i}', f'box_head/fc{i}', layout)
  entries += rules.layer('roi_head.bbox_head.fc_cls', 'box_head/logits', rules.LINEAR)
  entries += rules.layer('roi_head.bbox_head.fc_reg', 'box_head/deltas', rules.LINEAR)
  if mask.name:
    for i in range(mask.num_convs):
      entries += rules.layer(f'roi_head.mask_head.convs.{i}.conv', f'mask_head/conv{i}')
    entries += rules.layer('roi_head.mask_head.upsample', 'mask_head/deconv', rules.DECONV)
    entries += rules.layer('roi_head.mask_head.conv_logits', 'mask_head/logits')
  return entries
