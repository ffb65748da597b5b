"""Libra RetinaNet (Pang et al., 2019) as in mmdetection: libra_rcnn/libra-retinanet_r50_fpn_1x_coco.

  --config configs/mmdet/libra_retinanet.py:backbone=r101

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.mmdet import retinanet
from configs.parts import necks

CHOICES = {'backbone': ('r50', 'r101'), 'schedule': ('1x', '2x')}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  config = retinanet.get_config(f'backbone={args.backbone},schedule={args.schedule}').unlock()
  config.model.neck = necks.balanced_fpn(levels=(3, 4, 5, 6, 7), extra='input')
  config.model.head.loss = {'name': 'balanced_l1', 'alpha': 0.5, 'gamma': 1.5, 'beta': 0.11, 'weight': 1.0}
  return config.lock()
