"""Which maps the heads of a two-stage detector see: a pyramid, or one map of stride 16 (C4, DC5).

A layout has a say in every network, so it says for each which of its settings go with it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from configs.parts import necks, roi

NONE = MappingProxyType({})
SINGLE_LEVEL = {'sizes': ((32, 64, 128, 256, 512),), 'train': (12000, 2000), 'test': (6000, 1000)}  # of an RPN


class Layout(NamedTuple):
  """Settings by network; what is empty is as on a pyramid."""

  neck: Callable[[str], dict]  # of a norm
  backbone: Mapping = NONE
  rpn: Mapping = NONE
  roi: Mapping = NONE
  box_head: Mapping = NONE
  mask_head: Mapping = NONE

  def heads(self, norm: str = '', *, masks: bool, class_agnostic: bool = False) -> dict:
    """The box head, and the mask head where there are masks, as arguments of `roi`."""
    heads = {'box_head': roi.box_head(norm, class_agnostic=class_agnostic, **self.box_head)}
    if masks:
      heads['mask_head'] = roi.mask_head(norm, class_agnostic=class_agnostic, **self.mask_head)
    return heads


FPN = Layout(necks.fpn)

# Heads begin with the backbone's last stage, on regions of its third stage.
C4 = Layout(
  lambda norm: necks.single(stage=4),
  backbone={'num_stages': 3},
  rpn={'channels': 1024, **SINGLE_LEVEL},
  roi={'levels': (4,), 'shared_head': 'res5'},
  box_head={'num_fcs': 0, 'roi_size': 14},
  mask_head={'num_convs': 0},
)

# The backbone's last stage has its convolutions dilated in the place of a stride.
DC5 = Layout(
  lambda norm: necks.single(stage=5),
  backbone={'dilate_last': True},
  rpn={'channels': 2048, **SINGLE_LEVEL},
  roi={'levels': (4,)},
)

LAYOUTS = {'fpn': FPN, 'c4': C4, 'dc5': DC5}
