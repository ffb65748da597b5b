"""Names of Detectron2's necks, which are called backbones there and contain jaxdet's backbone."""

from ml_collections import ConfigDict

from jaxdet.convert.detectron2.layers import conv_norm
from jaxdet.convert.names import Names


def fpn(settings: ConfigDict) -> Names:
  """Names of a feature pyramid network."""

  def output(level: int) -> str:
    return f'backbone.fpn_output{level}' if level <= 5 else f'backbone.top_block.p{level}'

  return conv_norm('lateral#', lambda level: f'backbone.fpn_lateral{level}') | conv_norm('output#', output)


def detr_input(settings: ConfigDict) -> Names:
  """Names of the layers between Detic's backbone and its Deformable DETR, convolutions with a bias and a norm."""
  if not settings.use_bias:
    return {}
  position = list(settings.levels).index
  return {
    'level#': lambda level: f'detr.input_proj.{position(level)}.0',
    'level#_norm': lambda level: f'detr.input_proj.{position(level)}.1',
  }


# From `config.model.neck`.
NECKS = {'fpn': fpn, 'channel_mapper': detr_input}
# Prefix of a backbone's names inside a neck; without a neck 'backbone.'.
BACKBONE_PREFIXES = {'fpn': 'backbone.bottom_up.', 'channel_mapper': 'detr.backbone.0.backbone.'}
