"""Mask R-CNN on LVIS as in DisAlign (Zhang et al., 2021, on cvpods), both stages.

Its config lvis1.0/mask_rcnn/res50/mask_rcnn.res50.fpn.lvisv1.multiscale.1x and similar. The model is Detectron2's.

  --config configs/disalign/mask_rcnn.py:classifier=cosine
  --config configs/disalign/mask_rcnn.py:classifier=cosine,calibration=disalign \\
    --config.train.init_from=runs/cosine     the second stage, on the model that the line above trains

CHOICES lists the arguments.
"""

from ml_collections import ConfigDict

from configs import arguments
from configs.detectron2 import mask_rcnn
from configs.parts import long_tail

CHOICES = {
  'dataset': ('lvis_v1', 'lvis_v0.5'),
  'backbone': ('r50', 'r101', 'x101_32x8d'),
  'sampler': ('uniform', 'repeat_factor'),  # of training images
  'classifier': ('linear', 'cosine'),
  'calibration': ('none', 'disalign'),  # disalign: the second stage, with everything else frozen
}
SECOND_STAGE = {'lvis_v1': '9k', 'lvis_v0.5': '4.5k'}


def get_config(variant: str = '') -> ConfigDict:
  """Makes the config of 'name=value,name=value', see CHOICES."""
  args = arguments.parse(variant, CHOICES)
  config = mask_rcnn.get_config(f'dataset={args.dataset},backbone={args.backbone}').unlock()
  config.data.sampler.name = args.sampler
  config.model.roi.box_head.classifier = args.classifier
  if args.calibration == 'disalign':
    config.update(long_tail.second_stage('disalign'))
    config.model.roi.class_loss = long_tail.reweighted()
    config.train.steps, config.train.schedule.milestones = long_tail.STEPS[SECOND_STAGE[args.dataset]]
  elif args.dataset == 'lvis_v0.5':
    config.model.test.score_threshold = 0.0
  return config.lock()
