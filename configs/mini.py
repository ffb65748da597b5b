"""A small network on generated 128 x 128 images: the whole program in minutes on two cores."""

from ml_collections import ConfigDict


def make_mini(config: ConfigDict) -> None:
  """Turns a base configuration into the small one."""
  set_images(config)
  set_network(config.model)
  set_training(config.train)


def set_images(config: ConfigDict) -> None:
  """The generated images in place of LVIS's."""
  config.data.name = 'shapes'
  config.data.dir = 'data/shapes'
  config.data.shapes = {'images': 2000, 'val_images': 200, 'image_size': 128, 'categories': 48}
  config.data.max_objects = 12
  config.data.mask_size = 64
  config.data.max_vertices = 0
  config.data.resize = {**config.data.resize, 'sizes': (128,), 'test_size': 128, 'max_size': 128}
  config.data.canvases = ((128, 128),)
  config.eval.update(batch_size=8, protocol='lvis')


def set_network(model: ConfigDict) -> None:
  """Mask R-CNN with a narrow ResNet-18, anchors for small objects, and few regions."""
  set_features(model)
  model.rpn.channels = 64
  model.rpn.anchors.sizes = ((12,), (24,), (48,), (96,), (128,))
  model.rpn.sampler.num = model.rpn.normalizer = 64
  model.rpn.train_proposals = {**model.rpn.train_proposals, 'pre_nms': 300, 'post_nms': 200}
  model.rpn.test_proposals = {**model.rpn.test_proposals, 'pre_nms': 300, 'post_nms': 100}
  model.roi.canonical_size = 56
  model.roi.sampler.num = 64
  model.roi.box_head.channels = 256
  model.roi.mask_head = {**model.roi.mask_head, 'num_convs': 2, 'channels': 32}
  model.test.detections = 50
  model.test.candidates = 512


def set_features(model: ConfigDict) -> None:
  """The backbone and the pyramid, which learn from nothing."""
  model.dtype = 'float32'
  model.backbone = {**model.backbone, 'depth': 18, 'norm': 'gn', 'stem_width': 32, 'frozen_stages': -1}
  model.neck.channels = 64


def set_training(train: ConfigDict) -> None:
  """A thousand steps of eight images."""
  train.steps = 1000
  train.batch_size = 8
  train.schedule = {
    **train.schedule,
    'base_lr': 0.02,
    'base_batch_size': 8,
    'milestones': (750, 920),
    'warmup_steps': 100,
  }
  train.optimizer.clip_norm = 10.0
  train.log_every = 20
  train.checkpoint_every = 500
