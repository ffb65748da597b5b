"""Another program's names of a network's modules, as patterns over the paths that the network itself lists.

  def res_layer(settings):
    return {
      'stem/conv': 'conv1',
      'stage#/block#/conv#': lambda s, b, i: f'layer{s - 1}.{b}.conv{i}',
    }

A key is the path of a module inside its network, or of a single array that has a name of its own; '#' stands for a
number. A value is the name there, or a function of those numbers. Arrays of a module follow by ARRAYS, layouts by
rank; a `Named` states what does not.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

from jaxdet.convert.layouts import KERNELS, SAME, Layout
from jaxdet.convert.rules import Rule

# The arrays of a module here and in torch.
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
  """A module's name, or an array's, with what is unusual about its layout."""

  name: str
  layout: Layout | None = None  # of the kernel, or of the array; None: by its rank
  rows: Layout = SAME  # of the outputs, which are the first axis of weight and bias upstream; before `layout`


Name = str | Named | Sequence[str | Named]  # several: all of the same arrays, the first is the one that counts
Names = Mapping[str, Name | Callable[..., Name]]


def within(path: str, module: str | Callable[..., str], names: Names) -> Names:
  """The names inside a module.

  Args:
    path: pattern of the module's path, 'layer#'.
    module: its name, or a function of the numbers in its path.
    names: of what is inside, by paths that begin there.
  """
  count = path.count('#')

  def inside(name: Name | Callable[..., Name]) -> Callable[..., Name]:
    return lambda *numbers: prefixed(f'{_called(module, numbers[:count])}.', _called(name, numbers[count:]))

  return {f'{path}/{inner}': inside(name) for inner, name in names.items()}


def prefixed(prefix: str, name: Name) -> list[Named]:
  """A name, or several, with a prefix."""
  several = [name] if isinstance(name, str | Named) else name
  named = [Named(each) if isinstance(each, str) else each for each in several]
  return [dataclasses.replace(each, name=prefix + each.name) for each in named]


def array_rules(path: str, rank: int, names: Names, prefix: str = '') -> list[Rule]:
  """The rules of an array, one for each of its names; none where no pattern fits.

  Args:
    path: 'params/backbone/stem/conv/kernel': its collection, its network, and where it is in there.
    rank: its number of axes.
    names: of the network's modules; the first pattern that fits counts.
    prefix: of the network's names.

  Raises:
    ValueError: for a kernel of which neither the rank nor a `Named` says the layout.
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
  """The name of a path by the first pattern that fits."""
  for pattern, name in names.items():
    if match := _compiled(pattern).fullmatch(path):
      return _called(name, [int(number) for number in match.groups()])
  return None


def _called(name: Name | Callable[..., Name], numbers: Sequence[int]) -> Name:
  return name(*numbers) if callable(name) else name


@functools.cache
def _compiled(pattern: str) -> re.Pattern:
  return re.compile(r'(\d+)'.join(map(re.escape, pattern.split('#'))))
