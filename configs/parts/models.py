"""Assembles `config.model` of each family of detectors from its networks."""

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
  """A detector with proposals, box stages, tasks on RoIs, and optionally tasks on the pyramid."""
  return detector(
    'two_stage',
    weights,
    backbone=backbone,
    neck=neck,
    proposals=proposals,
    roi=roi,
    **({'pyramid_tasks': pyramid_tasks} if pyramid_tasks else {}),
    test=test,
  )


def proposal_network(weights: Weights, *, backbone: dict, neck: dict, proposals: dict, test: dict) -> dict:
  """A proposal generator alone."""
  return detector('proposal_network', weights, backbone=backbone, neck=neck, proposals=proposals, test=test)


def pyramid_network(weights: Weights, *, backbone: dict, neck: dict, pyramid_tasks: dict, test: dict) -> dict:
  """Tasks on the pyramid alone."""
  return detector('pyramid_network', weights, backbone=backbone, neck=neck, pyramid_tasks=pyramid_tasks, test=test)


def dense(weights: Weights, *, backbone: dict, neck: dict, head: dict, test: dict) -> dict:
  """A one-stage detector with the method of `head`."""
  return detector('dense', weights, backbone=backbone, neck=neck, head=head, test=test)


def queries(name: str, weights: Weights, *, backbone: dict, neck: dict, transformer: dict, test: dict) -> dict:
  """A query detector: 'detr' or 'deformable_detr'; `transformer` is from queries.py."""
  return detector(name, weights, backbone=backbone, neck=neck, **transformer, test=test)


def detector(name: str, weights: Weights, **parts) -> dict:
  """Settings of every detector, and the parts of this one."""
  return {
    'name': name,
    # None: the number of categories in the annotation file.
    'num_classes': config_dict.placeholder(int),
    # Of the training annotations, for class losses that need them: () is filled in when training begins.
    'class_counts': {'images': (), 'instances': (), 'num_images': 0},
    'dtype': 'bfloat16',  # of activations; parameters, losses and geometry are float32
    # 'blocks': the backward pass recomputes residual blocks and transformer layers, to save memory.
    'remat': '',
    **started_from(weights),
    **parts,
  }


def started_from(weights: Weights) -> dict:
  """Image normalisation for a backbone's weights, and the patterns of its frozen parameters."""
  return {
    'frozen': frozen_stages(weights.frozen_stages),  # patterns of paths of parameters
    'pixel_mean': weights.pixel_mean,  # RGB
    'pixel_std': weights.pixel_std,
    'channel_order': weights.channel_order,  # of imported and exported weights; images are always RGB here
  }
