"""Detectors put together from their networks: what `config.model` holds for each family."""

from ml_collections import config_dict

from configs.parts.backbones import Weights, frozen_stages


def two_stage(
  weights: Weights,
  *,
  backbone: dict,
  neck: dict,
  proposals: dict,
  roi: dict,
  test: dict,
  pyramid_tasks: dict | None = None,
) -> dict:
  """A detector with proposals, box stages, tasks on RoIs, and tasks on the pyramid where it has any."""
  return {
    'name': 'two_stage',
    **every_detector(),
    **started_from(weights),
    'backbone': backbone,
    'neck': neck,
    'proposals': proposals,
    'roi': roi,
    **({'pyramid_tasks': pyramid_tasks} if pyramid_tasks else {}),
    'test': test,
  }


def proposal_network(weights: Weights, *, backbone: dict, neck: dict, proposals: dict, test: dict) -> dict:
  """A proposal generator alone."""
  return {
    'name': 'proposal_network',
    **every_detector(),
    **started_from(weights),
    'backbone': backbone,
    'neck': neck,
    'proposals': proposals,
    'test': test,
  }


def pyramid_network(weights: Weights, *, backbone: dict, neck: dict, pyramid_tasks: dict, test: dict) -> dict:
  """Tasks on the pyramid alone."""
  return {
    'name': 'pyramid_network',
    **every_detector(),
    **started_from(weights),
    'backbone': backbone,
    'neck': neck,
    'pyramid_tasks': pyramid_tasks,
    'test': test,
  }


def dense(weights: Weights, *, backbone: dict, neck: dict, head: dict, test: dict) -> dict:
  """A detector with one stage, whose method `head` names."""
  return {
    'name': 'dense',
    **every_detector(),
    **started_from(weights),
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
    **started_from(weights),
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


def started_from(weights: Weights) -> dict:
  """How pixels are normalised, as a backbone's weights expect it, and the parameters of it that are held fixed."""
  return {
    'frozen': frozen_stages(weights.frozen_stages),  # patterns of paths of parameters
    'pixel_mean': weights.pixel_mean,  # RGB
    'pixel_std': weights.pixel_std,
    'channel_order': weights.channel_order,  # that imported and exported weights expect; here images are always RGB
  }
