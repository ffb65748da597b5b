"""Mask R-CNN with the seesaw loss (Wang et al., 2021) on LVIS v1 as in mmdetection.

Its configs seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_sample1e-3-ms-2x_lvis-v1 and similar.

  --config configs/mmdet/seesaw.py:cascade=true,backbone=r101,sampler=uniform

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.mmdet import cascade_rcnn, mask_rcnn
from configs.parts import long_tail

CHOICES = {
  'cascade': (False, True),
  'backbone': ('r50', 'r101'),
  'normed_mask': (False, True),  # cosine classifier for masks too
  'sampler': ('repeat_factor', 'uniform'),  # of training images
}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  shared = f'dataset=lvis_v1,schedule=2x,backbone={args.backbone}'
  config = cascade_rcnn.get_config(f'masks=true,{shared}') if args.cascade else mask_rcnn.get_config(shared)
  loss = 'seesaw_normed_mask' if args.normed_mask else 'seesaw'
  config.unlock()
  config.model.roi.class_loss = long_tail.CLASS_LOSSES[loss]
  config.model.roi.update(long_tail.heads(loss))
  config.data.sampler.name = args.sampler
  return config.lock()
