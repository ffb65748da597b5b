"""Networks of a detector in mmdetection 2 and 3: the only place here that reads `config.model`."""

from jaxdet.convert.layouts import first_conv
from jaxdet.convert.mmdet.backbones import BACKBONES
from jaxdet.convert.mmdet.dense_heads import DENSE_CONSTANTS, DENSE_METHODS, MASK_BRANCHES, RPN_HEADS
from jaxdet.convert.mmdet.necks import NECKS
from jaxdet.convert.mmdet.queries import DECODERS, ENCODERS, PROPOSALS
from jaxdet.convert.mmdet.roi_heads import (
  BOX_HEADS,
  CLASS_LOSSES,
  GRID_HEADS,
  MASK_HEADS,
  MASK_IOU_HEADS,
  ROI_POOLS,
  SHARED_HEADS,
)
from jaxdet.convert.parts import Part, part

# A proposal network alone is a one-stage detector there.
RPN_PREFIXES = {'proposal_network': 'bbox_head.'}

ROLES = {
  'backbone': lambda model, _: part(BACKBONES, model.backbone, first_conv(model.channel_order), prefix='backbone.'),
  'neck': lambda model, _: part(NECKS, model.neck, prefix='neck.'),
  'head': lambda model, _: part(DENSE_METHODS, model.head, model.neck, prefix='bbox_head.', constants=DENSE_CONSTANTS),
  'mask_branch': lambda model, _: part(MASK_BRANCHES, model.head.mask_branch, prefix='mask_head.'),
  'encoder': lambda model, _: Part(ENCODERS, model.name, (model.encoder,)),
  'decoder': lambda model, _: Part(DECODERS, model.name, (model.decoder,)),
  'proposals': lambda model, _: Part(PROPOSALS, model.name, (model.decoder,)),
  'rpn_head': lambda model, _: part(
    RPN_HEADS, model.proposals, model.neck, prefix=RPN_PREFIXES.get(model.name, 'rpn_head.')
  ),
  'shared_head': lambda model, _: Part(SHARED_HEADS, model.roi.shared_head, (model.backbone,), 'roi_head.shared_head.'),
  'roi_pool': lambda model, _: Part(
    ROI_POOLS,
    model.roi.pooler.version,
    (model.roi.pooler.levels, model.roi.box_head.roi_size),
    'roi_head.bbox_roi_extractor.',
  ),
  'box_head': lambda model, stage: part(BOX_HEADS, model.roi.box_head, prefix=f'roi_head.bbox_head.{stage}'),
  'class_loss': lambda model, stage: part(CLASS_LOSSES, model.roi.class_loss, prefix=f'roi_head.bbox_head.{stage}'),
  'mask_head': lambda model, stage: part(MASK_HEADS, model.roi.mask_head, prefix=f'roi_head.mask_head.{stage}'),
  'mask_iou_head': lambda model, _: part(
    MASK_IOU_HEADS, model.roi.mask_iou_head, model.roi.mask_head.roi_size, prefix='roi_head.mask_iou_head.'
  ),
  'grid_head': lambda model, _: part(GRID_HEADS, model.roi.grid_head, prefix='roi_head.grid_head.'),
}
