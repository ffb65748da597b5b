"""Which parameters of a detector training moves, where nothing but stages of the backbone is frozen."""

import jax

from jaxdet.models.backbones import resnet
from jaxdet.models.detectors.forward import Variables


def all_but_frozen_stages(params: Variables, frozen_stages: int) -> Variables:
  """A tree of bool like `params`, False for the backbone's first `frozen_stages` (see `ResNet`)."""

  def is_trained(path, _):
    network, *names = (entry.key for entry in path)
    return not (network == 'backbone' and resnet.is_frozen(tuple(names), frozen_stages))

  return jax.tree_util.tree_map_with_path(is_trained, params)
