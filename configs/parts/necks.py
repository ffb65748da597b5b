"""Necks: from a backbone's maps to those that heads see."""


def fpn(
  norm: str = '',
  *,
  levels: tuple[int, ...] = (2, 3, 4, 5, 6),
  extra: str = 'pool',
  extra_relu: bool = False,
  upsample: str = 'nearest',
) -> dict:
  """A feature pyramid (Lin et al., 2017).

  Args:
    norm: of its convolutions.
    levels: that it has; 2**level is the stride.
    extra: of levels above 5, 'pool': every other pixel; by convolutions of 'input' (the backbone's last map) or
      'output' (the pyramid's). RetinaNet takes the input, FCOS, ATSS and GFL the output.
    extra_relu: before every such convolution but the first; Detectron2's RetinaNet and all FCOS.
    upsample: of the path from coarse to fine: 'nearest', or YOLACT's 'bilinear'.
  """
  return {
    'name': 'fpn',
    'levels': levels,
    'channels': 256,
    'norm': norm,
    'extra': extra,  # see necks/fpn.py
    'extra_relu': extra_relu,
    'upsample': upsample,
  }


def single(stage: int) -> dict:
  """One map of stride 16, as a stage of the backbone leaves it (C4, DC5)."""
  return {'name': 'single', 'stage': stage, 'level': 4}


def ssd(*, channels: tuple[int, ...], strides: tuple[int, ...], padding: tuple[int, ...], last_size: int = 3) -> dict:
  """SSD's extra layers (Liu et al., 2016).

  Args:
    channels, strides, padding: of each level above the backbone's, see necks/ssd_neck.py.
    last_size: of the last level's kernel.
  """
  return {
    'name': 'ssd_neck',
    'channels': channels,
    'strides': strides,
    'padding': padding,
    'last_size': last_size,
    'scale': 20.0,  # the length of the first map's pixels that training begins with
  }


def unchanged() -> dict:
  """None: the head sees the backbone's maps."""
  return {'name': 'unchanged'}


def channel_mapper(levels: tuple[int, ...], *, norm: str, use_bias: bool) -> dict:
  """Every map on its own brought to the channels of a transformer; further levels by strided convolutions.

  Args:
    levels: that it has.
    norm: after every convolution.
    use_bias: of the convolutions. mmdetection's Deformable DETR has none before the norm, Detic's has them.
  """
  return {'name': 'channel_mapper', 'levels': levels, 'channels': 256, 'norm': norm, 'use_bias': use_bias}
