"""Mask R-CNN on LVIS, the long tail and its remedies.

  --config configs/lvis_maskrcnn.py             LVIS v1, R50-FPN, repeat-factor sampling, 180k steps of 16 images
  --config configs/lvis_maskrcnn.py:v0.5        the same on LVIS v0.5
  --config configs/lvis_maskrcnn.py:mini        a small model on generated images, minutes on a laptop
  --config configs/lvis_maskrcnn.py:version=v1,backbone=r101,classifier=cosine,upstream=cvpods,sampler=rfs

CHOICES lists the arguments; a version may stand first without its name. docs/lvis.md says which string is which
published model.
"""

from ml_collections import ConfigDict

from configs import arguments, rcnn
from configs.base import base_config
from configs.mini import make_mini

CHOICES = {
  'version': ('v1', 'v0.5', 'mini'),
}


def get_config(variant: str = '') -> ConfigDict:
  """The complete configuration of 'name=value,name=value', see CHOICES."""
  if '=' not in variant.partition(',')[0]:
    variant = f'version={variant or "v1"}'
  args = arguments.parse(variant, CHOICES)
  config = base_config()
  if args.version == 'mini':
    make_mini(config)
  elif args.version == 'v0.5':
    rcnn.set_lvis_v05(config.data)
  return config.lock()
