"""Small networks on generated 128 x 128 images: a whole run in minutes on two cores."""

from collections.abc import Mapping

from ml_collections import ConfigDict

FEATURES = {  # backbone and pyramid, trained from scratch
  'dtype': 'float32',
  'frozen': (),
  'backbone': {'depth': 18, 'norm': 'gn', 'stem_width': 32},
  'neck': {'channels': 64},
}


def images() -> dict:
  """Changes for generated images."""
  return {
    'data': {
      'name': 'shapes',
      'dir': 'data/shapes',
      'shapes': {'images': 2000, 'val_images': 200, 'image_size': 128, 'categories': 48},
      'max_objects': 12,
      'mask_size': 64,
      'max_vertices': 0,
      'resize': {'sizes': (128,), 'test_size': 128, 'max_size': 128},
      'canvases': ((128, 128),),
    },
    'eval': {'batch_size': 8, 'protocol': 'lvis'},
  }


def training() -> dict:
  """Changes for a run of a thousand steps of eight images."""
  return {
    'train': {
      'steps': 1000,
      'batch_size': 8,
      'schedule': {'base_lr': 0.02, 'base_batch_size': 8, 'milestones': (750, 920), 'warmup_steps': 100},
      'optimizer': {'clip_norm': 10.0},
      'log_every': 20,
      'checkpoint_every': 500,
    }
  }


def dense(config: ConfigDict) -> ConfigDict:
  """Makes a dense detector small: a narrow ResNet-18, short towers, and anchors or ranges for small objects."""
  head = config.model.head
  if 'ranges' in head:
    sizes = {'ranges': tuple((first / 4, last / 4) for first, last in head.ranges)}
  else:
    sizes = {'anchors': {'sizes': tuple(tuple(3 / 8 * size for size in level) for level in head.anchors.sizes)}}
  network = {'num_convs': 2, 'channels': 64, 'norm': 'gn'}
  model = {**FEATURES, 'head': {'network': network, **sizes}, 'test': {'score_threshold': 0.05, 'detections': 50}}
  return changed(config, {'model': model, **images(), **training()})


def yolact(config: ConfigDict) -> ConfigDict:
  """Makes YOLACT small: a narrow ResNet-18, narrow heads, and anchors for small objects."""
  head = {
    'network': {'channels': 64},
    'mask_branch': {'channels': 64},
    'anchors': {'sizes': ((12,), (24,), (48,), (96,), (128,)), 'strides': (8, 16, 32, 64, 128)},
  }
  model = {**FEATURES, 'head': head, 'test': {'detections': 50}}
  return changed(config, {'model': model, **images(), **training()})


def mask_rcnn(config: ConfigDict) -> ConfigDict:
  """Makes Mask R-CNN small: a narrow ResNet-18, anchors for small objects, and few RoIs."""
  model = {
    **FEATURES,
    'proposals': {
      'channels': 64,
      'anchors': {'sizes': ((12,), (24,), (48,), (96,), (128,))},
      'sampler': {'num': 64},
      'normalizer': 64,
      'train_proposals': {'pre_nms_topk': 300, 'post_nms_topk': 200},
      'test_proposals': {'pre_nms_topk': 300, 'post_nms_topk': 100},
    },
    'roi': {
      'pooler': {'canonical_size': 56},
      'sampler': {'num': 64},
      'box_head': {'channels': 256},
      'mask_head': {'num_convs': 2, 'channels': 32},
    },
    'test': {'detections': 50, 'pre_nms_topk': 512},
  }
  return changed(config, {'model': model, **images(), **training()})


def changed(config: ConfigDict, changes: Mapping) -> ConfigDict:
  """Applies changes by name, and locks the config."""
  config.unlock().update(changes)
  return config.lock()
