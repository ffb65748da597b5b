"""Names of recorded tensors and losses by program."""

import re
from collections.abc import Container, Mapping, Sequence

from jaxdet.parity.case import Case

# Recorded loss, as a regular expression, and jaxdet's. Other names are log values.
_DETECTRON2 = {
  r'loss_rpn_cls': 'loss_rpn_objectness',
  r'loss_rpn_loc': 'loss_rpn_box',
  r'loss_cls': 'loss_class',
  r'loss_box_reg': 'loss_box',
  r'loss_sem_seg': 'loss_semantic',
  r'loss_fcos_cls': 'loss_class',
  r'loss_fcos_loc': 'loss_box',
  r'loss_fcos_ctr': 'loss_centerness',
  r'loss_mask': ('loss_mask', 'loss_mask_0'),
  r'loss_ce(_\d)?': r'loss_class\1',
  r'loss_bbox(_\d)?': r'loss_box\1',
  r'loss_giou(_\d)?': r'loss_giou\1',
  r'loss_ce_enc': 'loss_class_proposals',
  r'loss_bbox_enc': 'loss_box_proposals',
  r'loss_giou_enc': 'loss_giou_proposals',
  r'loss_cls_stage(\d)': r'loss_class_\1',
  r'loss_box_reg_stage(\d)': r'loss_box_\1',
  r'total': 'total',
}
_MMDET = {
  r'loss_rpn_cls': 'loss_rpn_objectness',
  r'loss_rpn_bbox': 'loss_rpn_box',
  r'rpn_loss_cls': 'loss_rpn_class',
  r'rpn_loss_bbox': 'loss_rpn_box',
  r'rpn_loss_centerness': 'loss_rpn_centerness',
  r'loss_cls': 'loss_class',
  r'loss_bbox': 'loss_box',
  r'loss_centerness': 'loss_centerness',
  r'loss_dfl': 'loss_distribution',
  r'loss_mask': 'loss_mask',
  r'loss_mask_iou': 'loss_mask_iou',
  r'loss_grid': 'loss_grid',
  r'loss_segm': 'loss_semantic',
  r'det_loss': 'loss_corners',
  r'off_loss': 'loss_offsets',
  r'pull_loss': 'loss_pull',
  r'push_loss': 'loss_push',
  r'loss_iou': 'loss_giou',
  r'd(\d)\.loss_cls': r'loss_class_\1',
  r'd(\d)\.loss_bbox': r'loss_box_\1',
  r'd(\d)\.loss_iou': r'loss_giou_\1',
  r'enc_loss_cls': 'loss_class_proposals',
  r'enc_loss_bbox': 'loss_box_proposals',
  r'enc_loss_iou': 'loss_giou_proposals',
  r's(\d)\.loss_cls': r'loss_class_\1',
  r's(\d)\.loss_bbox': r'loss_box_\1',
  r's(\d)\.loss_mask': r'loss_mask_\1',
  r'loss': 'total',
}
LOSSES = {'mmdet': _MMDET, 'detectron2': _DETECTRON2, 'detic': _DETECTRON2, 'disalign': _DETECTRON2}


# Our names of RoI tensors, and the recorded ones if a shared head (C4) makes one feature for boxes and masks.
# mmdetection then ran its hooks twice, for masks with the suffix "#2".
_SHARED = {
  'mmdet': {
    '0/feats': ('0/feats', 'mask/feats'),
    'mask/feats': ('0/feats#2', 'mask/feats#2'),
    'mask/shared': ('shared#2',),
  },
  'detectron2': {'shared': ('0/head',), '0/head': (), 'mask/feats': ('1/feats',)},
}


def merged_losses(recorded: Mapping[str, float]) -> dict[str, float]:
  """Recorded losses, with the two parts of a seesaw loss added, as here."""
  merged = {}
  for name, value in recorded.items():
    name = re.sub(r'(loss_cls)_(objectness|classes)$', r'\1', name)
    merged[name] = merged.get(name, 0.0) + value
  return merged


def loss_name(case: Case, recorded: str, ours: Container[str]) -> str | None:
  """Our name of a recorded loss, 'total' for the sum; None for a value that is not a loss."""
  for pattern, names in LOSSES[case.program].items():
    if match := re.fullmatch(pattern, recorded):
      names = [match.expand(name) for name in ([names] if isinstance(names, str) else names)]
      return next((name for name in names if name in ours), names[0])
  return recorded if 'loss' in recorded else None


def region_names(case: Case, tensor: str, shared_head: bool) -> tuple[str, ...]:
  """Recorded names, without 'roi/' or 'fixed_roi/', of one of our RoI tensors."""
  renamed = _SHARED.get(case.program, {}) if shared_head else {}
  return renamed.get(tensor, (tensor,))


def level_names(case: Case, part: str, levels: Sequence[int]) -> dict[int, str]:
  """Recorded names of feature maps by level: 'neck/0' or 'neck/p2', 'rpn/cls/p2' or 'rpn/cls/res4'.

  Programs number levels differently, but all end with the coarsest.

  Args:
    case: the recorded run.
    part: 'backbone', 'neck', 'rpn/cls', 'head/reg' and so on.
    levels: of jaxdet's maps.
  """
  numbers = {name: re.fullmatch(rf'{part}/[a-z]*(\d+)', name) for name in case.tensors}
  recorded = sorted((name for name, match in numbers.items() if match), key=lambda name: int(numbers[name][1]))
  return dict(zip(sorted(levels, reverse=True), reversed(recorded), strict=False))
