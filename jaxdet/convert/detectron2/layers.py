"""Names of layers that Detectron2's parts share."""

from collections.abc import Callable

from jaxdet.convert.names import Names


def conv_norm(path: str, module: Callable[..., str]) -> Names:
  """Names of a convolution with or without a norm, which is a submodule of it there.

  Args:
    path: pattern of the convolution's path.
    module: the convolution's name, from the numbers in the path.
  """
  return {path: module, f'{path}_norm': lambda *numbers: f'{module(*numbers)}.norm'}
