"""Names of mmdetection's necks, which number levels by position."""

from ml_collections import ConfigDict

from jaxdet.convert.mmdet.layers import conv_norm
from jaxdet.convert.names import Names, within


def fpn(settings: ConfigDict) -> Names:
  """Names of a feature pyramid network."""
  position = list(settings.levels).index
  lateral = conv_norm('lateral#', lambda level: f'lateral_convs.{position(level)}', settings.norm)
  return lateral | conv_norm('output#', lambda level: f'fpn_convs.{position(level)}', settings.norm)


def balanced_fpn(settings: ConfigDict) -> Names:
  """Names of a balanced feature pyramid, the second of two necks in a row."""
  refinement = {name: f'{name}.conv' for name in ('g', 'theta', 'phi')} | {'output': 'conv_out.conv'}
  return within('pyramid', '0', fpn(settings)) | within('refinement', '1.refine', refinement)


def pafpn(settings: ConfigDict) -> Names:
  """Names of a feature pyramid with path aggregation; the second path begins at the second level."""
  position = list(settings.levels).index
  down = conv_norm('down#', lambda level: f'downsample_convs.{position(level) - 1}', settings.norm)
  return fpn(settings) | down | conv_norm('path#', lambda level: f'pafpn_convs.{position(level) - 1}', settings.norm)


def channel_mapper(settings: ConfigDict) -> Names:
  """Names of a channel mapper; levels above the backbone's are numbered from 0 again."""
  own = [level for level in settings.levels if level <= 5]

  def module(level: int) -> str:
    return f'convs.{own.index(level)}' if level in own else f'extra_convs.{settings.levels.index(level) - len(own)}'

  return conv_norm('level#', module, settings.norm)


def ssd_neck(settings: ConfigDict) -> Names:
  """Names of SSD's extra layers, numbered from the backbone's last level, 4."""
  return {
    'l2_norm': 'l2_norm',
    'reduce#': lambda level: f'extra_layers.{level - 5}.0.conv',
    'output#': lambda level: f'extra_layers.{level - 5}.1.conv',
  }


# From `config.model.neck`.
NECKS = {
  'fpn': fpn,
  'pafpn': pafpn,
  'balanced_fpn': balanced_fpn,
  'channel_mapper': channel_mapper,
  'ssd_neck': ssd_neck,
}
