"""Array layouts of two programs: a kernel's follows from its rank, parts state exceptions."""

import dataclasses
from collections.abc import Callable

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Layout:
  """Conversion of an array's layout between upstream and jaxdet: two inverse functions."""

  to_jaxdet: Transform
  to_upstream: Transform

  def then(self, other: 'Layout') -> 'Layout':
    """Composes two layouts: on import this one first, then `other`."""
    return Layout(lambda x: other.to_jaxdet(self.to_jaxdet(x)), lambda x: self.to_upstream(other.to_upstream(x)))


SAME = Layout(lambda x: x, lambda x: x)
LINEAR = Layout(np.transpose, np.transpose)  # (out, in), (in, out)
CONV = Layout(lambda w: w.transpose(2, 3, 1, 0), lambda k: k.transpose(3, 2, 0, 1))  # OIHW, HWIO
DECONV = Layout(lambda w: w.transpose(2, 3, 0, 1), lambda k: k.transpose(2, 3, 0, 1))  # IOHW, HWIO
FLIPPED_CONV = CONV.then(Layout(lambda k: k[:, :, ::-1], lambda k: k[:, :, ::-1]))  # from BGR images to RGB
FIRST_ROW_LAST = Layout(lambda x: np.roll(x, -1, 0), lambda x: np.roll(x, 1, 0))

KERNELS = {2: LINEAR, 4: CONV}  # by the rank of a kernel; deconvolutions have the rank of convolutions and are stated


def first_conv(channel_order: str) -> Layout:
  """Layout of a convolution on the image; images are RGB here, and in `channel_order` ('RGB' or 'BGR') upstream."""
  return {'RGB': CONV, 'BGR': FLIPPED_CONV}[channel_order]


def linear_after_flatten(size: int) -> Layout:
  """Layout of a linear layer on a flattened map of size x size: inputs are (c, y, x) upstream, (y, x, c) here."""

  def to_jaxdet(w: np.ndarray) -> np.ndarray:
    return w.reshape(w.shape[0], -1, size, size).transpose(2, 3, 1, 0).reshape(-1, w.shape[0])

  def to_upstream(k: np.ndarray) -> np.ndarray:
    return k.reshape(size, size, -1, k.shape[1]).transpose(3, 2, 0, 1).reshape(k.shape[1], -1)

  return Layout(to_jaxdet, to_upstream)


def without_first_rows(count: int) -> Layout:
  """Layout with `count` unused first rows upstream: dropped on import, zeros on export."""
  return Layout(lambda x: x[count:], lambda x: np.concatenate([np.zeros((count, *x.shape[1:]), x.dtype), x]))
