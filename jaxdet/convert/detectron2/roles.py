"""Networks of a detector in Detectron2, cvpods and Detic: the only place here that reads `config.model`."""

from jaxdet.convert.detectron2.backbones import BACKBONES
from jaxdet.convert.detectron2.dense_heads import DENSE_METHODS, RPN_HEADS, SEMANTIC_HEADS
from jaxdet.convert.detectron2.necks import BACKBONE_PREFIXES, NECKS
from jaxdet.convert.detectron2.queries import DECODERS, ENCODERS, PROPOSALS
from jaxdet.convert.detectron2.roi_heads import BOX_HEADS, MASK_HEADS, SHARED_HEADS
from jaxdet.convert.layouts import first_conv
from jaxdet.convert.parts import Part, part

ROLES = {
  'backbone': lambda model, _: part(
    BACKBONES,
    model.backbone,
    first_conv(model.channel_order),
    prefix=BACKBONE_PREFIXES.get(model.neck.name, 'backbone.'),
  ),
  'neck': lambda model, _: part(NECKS, model.neck),
  'head': lambda model, _: part(DENSE_METHODS, model.head, prefix='head.'),
  'semantic_head': lambda model, _: part(SEMANTIC_HEADS, model.pyramid_tasks.semantic.network, prefix='sem_seg_head.'),
  'encoder': lambda model, _: Part(ENCODERS, model.name, (model.encoder,)),
  'decoder': lambda model, _: Part(DECODERS, model.name, (model.decoder,)),
  'proposals': lambda model, _: Part(PROPOSALS, model.name, (model.decoder,)),
  'rpn_head': lambda model, _: part(RPN_HEADS, model.proposals, prefix='proposal_generator.rpn_head.'),
  'shared_head': lambda model, _: Part(SHARED_HEADS, model.roi.shared_head, (model.backbone,), 'roi_heads.'),
  'box_head': lambda model, stage: part(BOX_HEADS, model.roi.box_head, stage, prefix='roi_heads.'),
  # A cascade has one mask head.
  'mask_head': lambda model, _: part(MASK_HEADS, model.roi.mask_head, prefix='roi_heads.mask_head.'),
}
