"""Counts the floating-point operations of a program's matrix products and convolutions."""

import math
from collections.abc import Callable, Iterator

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def matrix_flops(function: Callable, *args) -> float:
  """Counts the operations of `function(*args)` in products and convolutions; a multiply-add counts as two.

  The program is traced, not compiled. Of branches the longest counts, so rows that may be skipped are included. A loop
  counts as often as it runs if the number is static, else once. Of forms for different platforms the accelerators'
  counts. Padding counts as if it were multiplied. RoIAlign is not counted: it needs a few operations per sample, but
  accelerators execute many more.

  Args:
    function: pure; may be jitted.
    args: arrays or their shapes (`jax.ShapeDtypeStruct`), in trees.
  """
  return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Jaxpr) -> float:
  platforms = {}  # variables that select a platform's branch, with the branch of accelerators
  total = 0.0
  for equation in jaxpr.eqns:
    if 'roi_align' in str(equation.source_info.name_stack):
      continue
    name, inner = equation.primitive.name, list(_inner(equation))
    if name == 'platform_index':
      platforms[equation.outvars[0]] = list(equation.params['platforms']).index(None)
    elif name in ('clamp', 'convert_element_type') and (known := _known(equation, platforms)) is not None:
      platforms[equation.outvars[0]] = known
    elif name == 'dot_general':
      total += _product(equation)
    elif name == 'conv_general_dilated':
      total += _convolution(equation)
    elif name == 'cond':
      known = _known(equation, platforms)
      total += max(map(_count, inner)) if known is None else _count(inner[known])
    elif name == 'scan':
      total += equation.params['length'] * sum(map(_count, inner))
    elif name == 'shard_map':
      total += equation.params['mesh'].size * sum(map(_count, inner))
    else:
      total += sum(map(_count, inner))
  return total


def _inner(equation: JaxprEqn) -> Iterator[Jaxpr]:
  """Programs that an equation runs."""
  for value in equation.params.values():
    for item in value if isinstance(value, tuple | list) else [value]:
      if isinstance(item, ClosedJaxpr):
        yield item.jaxpr
      elif isinstance(item, Jaxpr):
        yield item


def _known(equation: JaxprEqn, platforms: dict) -> int | None:
  return next((platforms[x] for x in equation.invars if not hasattr(x, 'val') and x in platforms), None)


def _product(equation: JaxprEqn) -> float:
  (contracted, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: JaxprEqn) -> float:
  kernel, spec = equation.invars[1].aval.shape, equation.params['dimension_numbers'].rhs_spec
  each = math.prod(kernel) / kernel[spec[0]]  # products for one output: the kernel without its output channels
  # Zeros between input pixels (lhs_dilation), as in the gradient of a strided convolution, are not counted.
  dilation = math.prod(equation.params['lhs_dilation'])
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * each / dilation
