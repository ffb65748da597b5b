"""CornerNet on an hourglass small enough to compile in seconds."""

import pathlib

from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from small_detector import CLASSES

CONFIG = f'{pathlib.Path(__file__).resolve().parents[1]}/configs/mmdet/cornernet.py'


def small_model() -> ConfigDict:
  """`config.model` with few channels and three sizes of maps, of which the largest has a quarter of the image's."""
  model = load_config(CONFIG).unlock().model
  model.num_classes, model.dtype = CLASSES, 'float32'
  model.backbone.update(channels=(16, 16, 24), blocks=(1, 1, 2), features=16)
  model.head.network.update(channels=16, pool_channels=8)
  model.test.update(corner_topk=20, pre_nms_topk=50, detections=10, margin=0)
  return model
