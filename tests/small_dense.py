"""Dense detectors on networks small enough to compile in seconds."""

import dataclasses
import functools
import pathlib

import flax.linen as nn
from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from jaxdet.models.build import build_detector
from jaxdet.models.detectors.dense import DenseDetector
from small_detector import CLASSES

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / 'configs'
VARIANTS = {
  'retinanet': 'mmdet/retinanet.py',
  'retinanet of detectron2': 'detectron2/retinanet.py',
  'fcos': 'mmdet/fcos.py',
  'fcos of detectron2': 'detectron2/fcos.py',
  'atss': 'mmdet/atss.py',
  'gfl': 'mmdet/gfl.py',
}
WITH_MASKS = {'yolact': 'mmdet/yolact.py'}  # tested in files of their own


@functools.cache
def small_dense_config(variant: str):
  """The config of a variant with few channels and three levels, for images of about 64 pixels."""
  config = load_config(f'{CONFIGS}/{(VARIANTS | WITH_MASKS)[variant]}').unlock()
  model = config.model
  model.num_classes = CLASSES
  model.dtype = 'float32'
  model.neck.update(channels=16, levels=(3, 4, 5))
  model.head.anchors.sizes = model.head.anchors.sizes[:3]
  if 'strides' in model.head.anchors:
    model.head.anchors.strides = model.head.anchors.strides[:3]
  if 'mask_branch' in model.head:
    model.head.mask_branch.update(num_convs=1, channels=16)
  if 'ranges' in model.head:
    model.head.ranges = ((0, 24), (24, 48), (48, 1e8))
  model.head.network.update(num_convs=1, channels=16)
  model.test.update(score_threshold=0.0, pre_nms_topk=100, detections=20)
  return config


class SmallBackbone(nn.Module):
  """Five convolutions of stride 2, the last three of which are the features of levels 3 to 5."""

  @nn.compact
  def __call__(self, images, train: bool):
    del train  # there is no norm
    x, features = images, {}
    for level, name in enumerate(('stem', 'stage2', 'stage3', 'stage4', 'stage5'), start=1):
      x = nn.relu(nn.Conv(16, (3, 3), 2, name=name)(x))
      if level > 2:
        features[level] = x
    return features


def small_dense_detector(config: ConfigDict) -> DenseDetector:
  """The detector of a config, on the small backbone."""
  detector = build_detector(config.model, CLASSES)
  return dataclasses.replace(detector, networks={**detector.networks, 'backbone': SmallBackbone()})
