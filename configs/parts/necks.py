"""Necks: from a backbone's maps to the heads' maps."""


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
    levels: of the pyramid; the stride is 2**level.
    extra: source of levels above 5: 'pool': every other pixel; convolutions of 'input' (the backbone's last map) or
      'output' (the pyramid's). RetinaNet uses the input, FCOS, ATSS and GFL the output.
    extra_relu: ReLU before every extra convolution but the first; Detectron2's RetinaNet and all FCOS.
    upsample: of the top-down path: 'nearest', or YOLACT's 'bilinear'.
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


def balanced_fpn(refine_level: int = 4, **fpn_settings) -> dict:
  """Libra R-CNN's balanced feature pyramid.

  Args:
    refine_level: level at whose size the mean of all levels is refined.
    fpn_settings: arguments of `fpn`.
  """
  return {**fpn(**fpn_settings), 'name': 'balanced_fpn', 'refine_level': refine_level}


def pafpn(norm: str = '', **settings) -> dict:
  """A feature pyramid with path aggregation (Liu et al., 2018); `settings` as of `fpn`."""
  return {**fpn(norm, **settings), 'name': 'pafpn'}


def single(stage: int) -> dict:
  """One map of stride 16, the result of a backbone stage (C4, DC5)."""
  return {'name': 'single', 'stage': stage, 'level': 4}


def ssd(*, channels: tuple[int, ...], strides: tuple[int, ...], padding: tuple[int, ...], last_size: int = 3) -> dict:
  """SSD's extra layers (Liu et al., 2016).

  Args:
    channels, strides, padding: of each level above the backbone's, see necks/ssd_neck.py.
    last_size: size of the last level's kernel.
  """
  return {
    'name': 'ssd_neck',
    'channels': channels,
    'strides': strides,
    'padding': padding,
    'last_size': last_size,
    'scale': 20.0,  # initial factor of the first map's L2 norm
  }


def unchanged() -> dict:
  """None: the head sees the backbone's maps."""
  return {'name': 'unchanged'}


def channel_mapper(levels: tuple[int, ...], *, norm: str, use_bias: bool) -> dict:
  """Maps every level to the channels of a transformer; further levels by strided convolutions.

  Args:
    levels: of the result.
    norm: after every convolution.
    use_bias: of the convolutions. mmdetection's Deformable DETR has none before the norm, Detic's has them.
  """
  return {'name': 'channel_mapper', 'levels': levels, 'channels': 256, 'norm': norm, 'use_bias': use_bias}
