"""How each program calls what jaxdet's detectors make: tensors of a recorded run, and losses."""

import re
from collections.abc import Sequence

from jaxdet.parity.case import Case

# Recorded loss, as a regular expression, and jaxdet's. Those that no expression knows are log values.
_DETECTRON2 = {
  r'loss_rpn_cls': 'loss_rpn_objectness',
  r'loss_rpn_loc': 'loss_rpn_box',
  r'loss_cls': 'loss_class',
  r'loss_box_reg': 'loss_box',
  r'loss_mask': 'loss_mask',
  r'loss_cls_stage(\d)': r'loss_class_\1',
  r'loss_box_reg_stage(\d)': r'loss_box_\1',
  r'total': 'total',
}
_MMDET = {
  r'loss_rpn_cls': 'loss_rpn_objectness',
  r'loss_rpn_bbox': 'loss_rpn_box',
  r'loss_cls': 'loss_class',
  r'loss_bbox': 'loss_box',
  r'loss_mask': 'loss_mask',
  r's(\d)\.loss_cls': r'loss_class_\1',
  r's(\d)\.loss_bbox': r'loss_box_\1',
  r's(\d)\.loss_mask': r'loss_mask_\1',
  r'loss': 'total',
}
LOSSES = {'mmdet': _MMDET, 'detectron2': _DETECTRON2, 'detic': _DETECTRON2, 'disalign': _DETECTRON2}


def loss_name(case: Case, recorded: str) -> str | None:
  """jaxdet's name of a recorded loss, 'total' for their sum, None for a value that is no loss."""
  for pattern, ours in LOSSES[case.program].items():
    if match := re.fullmatch(pattern, recorded):
      return match.expand(ours)
  return recorded if 'loss' in recorded else None


def level_names(case: Case, part: str, levels: Sequence[int]) -> dict[int, str]:
  """The recorded names of feature maps by level: 'neck/0' or 'neck/p2', 'rpn/cls/p2' or 'rpn/cls/res4'.

  Programs count levels differently, but all end with the coarsest.

  Args:
    case: the recorded run.
    part: 'backbone', 'neck', 'rpn/cls' or 'rpn/reg'.
    levels: those of jaxdet's maps.
  """
  numbers = {name: re.fullmatch(rf'{part}/[a-z]*(\d+)', name) for name in case.tensors}
  recorded = sorted((name for name, match in numbers.items() if match), key=lambda name: int(numbers[name][1]))
  return dict(zip(sorted(levels, reverse=True), reversed(recorded), strict=False))
