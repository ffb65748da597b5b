"""Mask R-CNN with large-scale jitter (Ghiasi et al., 2021) as in Detectron2.

Its configs new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ and similar: batch norm that is trained, 64 images a step.

  --config configs/detectron2/mask_rcnn_lsj.py:backbone=r101,schedule=400ep

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.detectron2 import mask_rcnn
from configs.parts.datasets import DATASETS
from configs.parts.schedules import jittered

CHOICES = {'backbone': ('r50', 'r101'), 'schedule': ('100ep', '50ep', '200ep', '400ep')}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  config = mask_rcnn.get_config(f'backbone={args.backbone}').unlock()
  config.update(new_baseline())
  length = jittered(int(args.schedule.removesuffix('ep')), (0.9, 0.96), DATASETS['coco'].images)
  config.train.steps = length['steps']
  config.train.schedule.update(milestones=length['milestones'], warmup_steps=500, warmup_factor=0.067)
  return config.lock()


def new_baseline() -> dict:
  """Changes to Mask R-CNN: jitter of 0.1 to 2, batch norm everywhere, two convolutions in the RPN."""
  norm = 'sync_bn'
  return {
    'model': {
      'frozen': (),
      'backbone': {'norm': norm},
      'neck': {'norm': norm},
      'proposals': {'num_convs': 2},
      'roi': {'box_head': {'num_convs': 4, 'norm': norm, 'num_fcs': 1}, 'mask_head': {'norm': norm}},
    },
    'data': {'resize': {'name': 'large_scale_jitter'}, 'canvases': ((1024, 1024),)},
    'train': {
      'batch_size': 64,
      'optimizer': {'weight_decay': 4e-5},
      'schedule': {'base_lr': 0.1, 'base_batch_size': 64},
    },
  }
