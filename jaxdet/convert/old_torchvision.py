"""Converts names of torchvision before 0.13, such as its own COCO weights, to current names."""

import re
from collections.abc import Mapping

import numpy as np

RENAMED = (
  (re.compile(r'(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)'), r'\1.0.\2'),
  (re.compile(r'(rpn\.head\.conv)\.(weight|bias)'), r'\1.0.0.\2'),
)
MASK_CONV = re.compile(r'(roi_heads\.mask_head)\.mask_fcn(\d+)\.(weight|bias)')  # counted from 1; now from 0


def to_current(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Renames weights to current names; current names are not changed."""
  return {_name(name): array for name, array in state.items()}


def _name(name: str) -> str:
  if mask := MASK_CONV.fullmatch(name):
    return f'{mask[1]}.{int(mask[2]) - 1}.0.{mask[3]}'
  for old, new in RENAMED:
    if old.fullmatch(name):
      return old.sub(new, name)
  return name
