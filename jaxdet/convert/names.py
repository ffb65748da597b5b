"""Another program's module names, as patterns over the paths of jaxdet's network.

  def res_layer(settings):
    return {
      'stem/conv': 'conv1',
      'stage#/block#/conv#': lambda s, b, i: f'layer{s - 1}.{b}.conv{i}',
    }

A key is the path of a module inside its network, or of a single array with its own name; '#' matches a number. A value
is the upstream name, or a function of those numbers. A module's arrays follow from ARRAYS, layouts from the rank; a
`Named` states exceptions.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

from jaxdet.convert.layouts import KERNELS, SAME, Layout
from jaxdet.convert.rules import Rule

# Arrays of a module here and in torch.
ARRAYS = {
  'kernel': 'weight',
  'scale': 'weight',
  'embedding': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}


@dataclasses.dataclass(frozen=True)
class Named:
  """Name of a module or an array, with an unusual layout."""

  name: str
  layout: Layout | None = None  # of the kernel, or of the array; None: by its rank
  rows: Layout = SAME  # of the outputs (the first axis of weight and bias upstream); applied before `layout`


Name = str | Named | Sequence[str | Named]  # several names of the same arrays: the first is read
Names = Mapping[str, Name | Callable[..., Name]]


def within(path: str, module: str | Callable[..., str], names: Names) -> Names:
  """Prefixes the names inside a module.

  Args:
    path: pattern of the module's path, such as 'layer#'.
    module: its name, or a function of the numbers in its path.
    names: names inside the module, by paths relative to it.
  """
  count = path.count('#')

  def inside(name: Name | Callable[..., Name]) -> Callable[..., Name]:
    return lambda *numbers: prefixed(f'{_called(module, numbers[:count])}.', _called(name, numbers[count:]))

  return {f'{path}/{inner}': inside(name) for inner, name in names.items()}


def prefixed(prefix: str, name: Name) -> list[Named]:
  """Adds a prefix to one or several names."""
  several = [name] if isinstance(name, str | Named) else name
  named = [Named(each) if isinstance(each, str) else each for each in several]
  return [dataclasses.replace(each, name=prefix + each.name) for each in named]


def array_rules(path: str, rank: int, names: Names, prefix: str = '') -> list[Rule]:
  """Makes the rules of an array, one for each of its names; [] if no pattern matches.

  Args:
    path: collection, network and path in it, such as 'params/backbone/stem/conv/kernel'.
    rank: number of axes of the array.
    names: names of the network's modules; the first pattern that matches is used.
    prefix: of the network's names.

  Raises:
    ValueError: a kernel whose layout follows neither from its rank nor from a `Named`.
  """
  inner = path.split('/', 2)[2]
  module, _, array = inner.rpartition('/')
  own = _find(inner, names)
  found = own if own is not None else _find(module, names) if array in ARRAYS else None
  rules = []
  for i, named in enumerate(prefixed(prefix, [] if found is None else found)):
    layout = named.layout if array == 'kernel' or own is not None else SAME
    if layout is None:
      layout = _usual_layout(path, array, rank)
    name = named.name if own is not None else f'{named.name}.{ARRAYS[array]}'
    rules.append(Rule(name, path, layout if named.rows is SAME else named.rows.then(layout), copy=i > 0))
  return rules


def _usual_layout(path: str, array: str, rank: int) -> Layout:
  if array != 'kernel':
    return SAME
  if rank not in KERNELS:
    raise ValueError(
      f'{path} has {rank} axes, of which no layout follows: state it with its name, as Named(.., layout)'
    )
  return KERNELS[rank]


def _find(path: str, names: Names) -> Name | None:
  """Name of a path by the first matching pattern."""
  for pattern, name in names.items():
    if match := _compiled(pattern).fullmatch(path):
      return _called(name, [int(number) for number in match.groups()])
  return None


def _called(name: Name | Callable[..., Name], numbers: Sequence[int]) -> Name:
  return name(*numbers) if callable(name) else name


@functools.cache
def _compiled(pattern: str) -> re.Pattern:
  return re.compile(r'(\d+)'.join(map(re.escape, pattern.split('#'))))
