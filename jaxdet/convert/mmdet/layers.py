"""Names of layers that mmdetection's parts share."""

from collections.abc import Callable

from jaxdet.convert.names import Names


def conv_norm(path: str, module: Callable[..., str], norm: str) -> Names:
  """Names of a convolution with or without a norm.

  Args:
    path: pattern of the convolution's path.
    module: the module with both, from the numbers in the path.
    norm: the kind of the norm, '' for none.
  """
  return {
    path: lambda *numbers: f'{module(*numbers)}.conv',
    f'{path}_norm': lambda *numbers: f'{module(*numbers)}.{norm_name(norm)}',
  }


def norm_name(kind: str) -> str:
  """Name of a norm of this kind (see models/layers/norm.py)."""
  return 'gn' if kind.startswith('gn') else 'bn'
