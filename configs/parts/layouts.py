"""Layouts of two-stage detectors: heads on a pyramid, or on one map of stride 16 (C4, DC5).

A layout changes settings of every network.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from configs.parts import necks, roi

NONE = MappingProxyType({})
SINGLE_LEVEL = {'sizes': ((32, 64, 128, 256, 512),), 'train': (12000, 2000), 'test': (6000, 1000)}  # of an RPN


class Layout(NamedTuple):
  """Settings by network; empty: as on a pyramid."""

  neck: Callable[[str], dict]  # function of the norm
  backbone: Mapping = NONE
  rpn: Mapping = NONE
  roi: Mapping = NONE
  box_head: Mapping = NONE
  mask_head: Mapping = NONE

  def heads(self, norm: str = '', *, masks: bool, class_agnostic: bool = False) -> dict:
    """Box head, and mask head if there are masks, as arguments of `roi`."""
    heads = {'box_head': roi.box_head(norm, class_agnostic=class_agnostic, **self.box_head)}
    if masks:
      heads['mask_head'] = roi.mask_head(norm, class_agnostic=class_agnostic, **self.mask_head)
    return heads


FPN = Layout(necks.fpn)
PAFPN = Layout(necks.pafpn)

# Heads begin with the backbone's last stage, on RoIs pooled from the stage before.
C4 = Layout(
  lambda norm: necks.single(stage=4),
  backbone={'num_stages': 3},
  rpn={'channels': 1024, **SINGLE_LEVEL},
  roi={'levels': (4,), 'shared_head': 'res5'},
  box_head={'num_fcs': 0, 'roi_size': 14},
  mask_head={'num_convs': 0},
)

# The backbone's last stage is dilated instead of strided.
DC5 = Layout(
  lambda norm: necks.single(stage=5),
  backbone={'dilate_last': True},
  rpn={'channels': 2048, **SINGLE_LEVEL},
  roi={'levels': (4,)},
)

LAYOUTS = {'fpn': FPN, 'c4': C4, 'dc5': DC5}
MMDET = {**LAYOUTS, 'pafpn': PAFPN}
