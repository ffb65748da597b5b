"""Detectors put together from their networks: what `config.model` holds for each family."""

from ml_collections import config_dict

from configs.parts.backbones import Weights


def two_stage(name: str, weights: Weights, *, backbone: dict, neck: dict, rpn: dict, roi: dict, test: dict) -> dict:
  """A detector with proposals and heads on regions: 'mask_rcnn', 'cascade_rcnn' or 'proposal_network'."""
  return {
    'name': name,
    **every_detector(),
    **images(weights),
    'backbone': backbone,
    'neck': neck,
    'rpn': rpn,
    'roi': roi,
    'test': test,
  }


def dense(weights: Weights, *, backbone: dict, neck: dict, head: dict, test: dict) -> dict:
  """A detector with one stage, whose method `head` names."""
  return {
    'name': 'dense',
    **every_detector(),
    **images(weights),
    'backbone': backbone,
    'neck': neck,
    'head': head,
    'test': test,
  }


def queries(name: str, weights: Weights, *, backbone: dict, neck: dict, transformer: dict, test: dict) -> dict:
  """A detector with queries: 'detr' or 'deformable_detr'; `transformer` is one of queries.py."""
  return {
    'name': name,
    **every_detector(),
    **images(weights),
    'backbone': backbone,
    'neck': neck,
    **transformer,
    'test': test,
  }


def every_detector() -> dict:
  """Settings that do not depend on the kind of detector."""
  return {
    # None: as many as the annotation file's category table has.
    'num_classes': config_dict.placeholder(int),
    # Of the training annotations, for class losses that ask: () is filled in when training begins.
    'class_counts': {'images': (), 'instances': (), 'num_images': 0},
    'dtype': 'bfloat16',  # of activations; parameters, losses and geometry are float32
    # 'blocks': the backward pass computes the insides of residual blocks and transformer layers again, in less memory.
    'remat': '',
  }


def images(weights: Weights) -> dict:
  """How pixels are normalised, as a backbone's weights expect it."""
  return {
    'pixel_mean': weights.pixel_mean,  # RGB
    'pixel_std': weights.pixel_std,
    'channel_order': weights.channel_order,  # that imported and exported weights expect; here images are always RGB
  }
