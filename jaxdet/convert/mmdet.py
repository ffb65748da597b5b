"""Names of mmdetection 2 and 3."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from jaxdet.convert import rules, torchvision
from jaxdet.convert.mmdet_dense import dense_head
from jaxdet.convert.mmdet_query import query_detector
from jaxdet.convert.rules import Rule
from jaxdet.models.box_stages.standard import class_loss_name


def table(model: ConfigDict) -> list[Rule]:
  """The rules of `config.model`, a detector of the R-CNN family or a dense one."""
  norm = norm_name(model.backbone.norm)
  entries = torchvision.resnet(model.backbone, 'backbone.', model.channel_order, norm)
  if model.name in ('detr', 'deformable_detr'):
    return entries + query_detector(model)
  if model.neck.name == 'fpn':
    entries += fpn(model)
  if model.name == 'dense':
    return entries + dense_head(model)
  if model.name in ('two_stage', 'proposal_network') and model.proposals.name == 'rpn':
    # A network for proposals alone is a one-stage detector there, whose head has this name.
    entries += rpn_head(model, 'bbox_head' if model.name == 'proposal_network' else 'rpn_head')
  if model.name == 'two_stage' and 'cascade' not in model.roi:
    entries += roi_heads(model, ends=('',), mask_ends=('',))
  if model.name == 'two_stage' and 'cascade' in model.roi:
    ends = range(len(model.roi.cascade.ious))
    entries += roi_heads(model, ends, ends if model.roi.mask_head.stages == 'every' else ends[:1])
  return entries


def fpn(model: ConfigDict) -> list[Rule]:
  """The rules of a feature pyramid network."""
  entries = []
  for i, level in enumerate(model.neck.levels):
    if level <= 5:
      entries += conv_norm(f'neck.lateral_convs.{i}', f'neck/lateral{level}', model.neck.norm)
    if level <= 5 or model.neck.extra != 'pool':
      entries += conv_norm(f'neck.fpn_convs.{i}', f'neck/output{level}', model.neck.norm)
  return entries


def rpn_head(model: ConfigDict, head: str) -> list[Rule]:
  """The rules of the head of a region proposal network."""
  entries = []
  for i in range(model.proposals.num_convs):
    upstream = f'{head}.rpn_conv' if model.proposals.num_convs == 1 else f'{head}.rpn_conv.{i}.conv'
    entries += rules.layer(upstream, f'rpn_head/conv{i}')
  return entries + rules.layer(f'{head}.rpn_cls', 'rpn_head/logits') + rules.layer(f'{head}.rpn_reg', 'rpn_head/deltas')


def roi_heads(model: ConfigDict, ends: Sequence[str | int], mask_ends: Sequence[str | int]) -> list[Rule]:
  """The rules of the heads on regions; the ends are the numbers of a cascade's heads, '' for a single one."""
  entries = []
  if model.roi.shared_head == 'res5':
    norm = norm_name(model.backbone.norm)
    entries += torchvision.stages(model.backbone, 'roi_head.shared_head.', 'shared_head', norm, levels=(5,))
  box, mask = model.roi.box_head, model.roi.get('mask_head')
  if model.roi.pooler.name == 'deformable':
    entries += deformable_roi_pool(model)
  for end in ends:
    upstream, path = f'roi_head.bbox_head.{end}'.rstrip('.'), f'box_head{end}'
    for i in range(box.num_convs):
      entries += conv_norm(f'{upstream}.shared_convs.{i}', f'{path}/conv{i}', box.norm)
    for i in range(box.num_fcs):
      layout = rules.LINEAR if i else rules.linear_after_flatten(box.roi_size)
      entries += rules.layer(f'{upstream}.shared_fcs.{i}', f'{path}/fc{i}', layout)
    entries += rules.layer(f'{upstream}.fc_cls', f'{path}/logits', rules.LINEAR)
    if model.roi.class_loss.name == 'seesaw':
      entries.append(Rule(f'{upstream}.loss_cls.cum_samples', f'batch_stats/{class_loss_name(path)}/samples'))
    entries += rules.layer(f'{upstream}.fc_reg', f'{path}/deltas', rules.LINEAR)
  for end in mask_ends if 'mask' in model.roi.tasks else ():
    upstream, path = f'roi_head.mask_head.{end}'.rstrip('.'), f'mask_head{end}'
    for i in range(mask.num_convs):
      entries += conv_norm(f'{upstream}.convs.{i}', f'{path}/conv{i}', mask.norm)
    entries += rules.layer(f'{upstream}.upsample', f'{path}/deconv', rules.DECONV)
    entries += rules.layer(f'{upstream}.conv_logits', f'{path}/logits')
  return entries


def deformable_roi_pool(model: ConfigDict) -> list[Rule]:
  """The rules of the layers that move the bins of regions, which every level has for itself."""
  networks = [('offset_fc', 'offset', 3)] + [('mask_fc', 'weight', 2)] * (model.roi.pooler.version == 'v2')
  entries = []
  for position, level in enumerate(model.roi.pooler.levels):
    for upstream, path, count in networks:
      for i in range(count):
        layout = rules.LINEAR if i else rules.linear_after_flatten(model.roi.box_head.roi_size)
        module = f'roi_head.bbox_roi_extractor.roi_layers.{position}.{upstream}.{2 * i}'
        entries += rules.layer(module, f'roi_pool/{path}{level}_fc{i}', layout)
  return entries


def conv_norm(upstream: str, path: str, norm: str) -> list[Rule]:
  """The rules of a convolution with a bias or, where `norm` is not '', a norm."""
  entries = rules.layer(f'{upstream}.conv', path, bias=not norm)
  return entries + rules.norm(f'{upstream}.{norm_name(norm)}', f'{path}_norm', norm) if norm else entries


def norm_name(kind: str) -> str:
  """What a module of this kind (see layers/norm.py) is called there."""
  return 'gn' if kind.startswith('gn') else 'bn'
