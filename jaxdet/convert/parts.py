"""Makes the rules of a whole model from the names of its parts, role by role.

A program has a table of roles: for every network of a detector a function of `config.model` that returns the part's
table, its settings and the prefix of its names. So each program reads the keys of `config.model` in one place, and a
part sees only its own settings.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxdet.convert.names import ARRAYS, Names, array_rules
from jaxdet.convert.rules import LOSS_STATE, Rule

Shapes = Mapping[str, Any]  # by path: anything with a `shape`
BACKBONES = ('backbone', 'shared_head')  # in C4 the backbone's last stage is the RoIs' shared head


class UnknownPart(ValueError):
  """A program has no names for a part of a model."""


@dataclasses.dataclass(frozen=True)
class Part:
  """A network of a detector in one program."""

  table: Mapping[str, Callable[..., Names]]  # of its role, by the names in jaxdet/models/build.py
  name: str  # key of `table`
  arguments: tuple = ()  # of the function in `table`
  prefix: str = ''  # of the network's names
  # Constant arrays in a detector's file, without the prefix: a table of the same kind.
  constants: Mapping[str, Callable[..., Mapping[str, np.ndarray]]] = dataclasses.field(default_factory=dict)

  @property
  def names(self) -> Names:
    return self.table[self.name](*self.arguments)


def part(table: Mapping[str, Callable[..., Names]], settings: ConfigDict, *more: Any, **rest: Any) -> Part:
  """Makes the part that its settings name; the table's function gets the settings and `more`."""
  return Part(table, settings.name, (settings, *more), **rest)


# By role: a part from `config.model` and the number at the end of the network's name, '' or '0.' for 'box_head0'.
Roles = Mapping[str, Callable[[ConfigDict, str], Part]]


def detector_rules(program: str, roles: Roles, needs: Sequence[str], model: ConfigDict, shapes: Shapes) -> list[Rule]:
  """Makes the rules of a detector, network by network in the order of `roles`.

  Args:
    program: its name, for errors.
    roles: the program's table.
    needs: roles that all of its detectors have.
    model: `config.model`.
    shapes: the model's arrays by path. Arrays of a known part without a name in the program have no rule; see
      `nameless`.

  Raises:
    UnknownPart: the program has no names for a part, or one name for two arrays, or needs a part that is missing.
  """
  networks = set(map(_network, shapes))
  for role in needs:
    if not any(network.startswith(role) for network in networks):
      raise UnknownPart(f'{program} has no detectors without a {role}: choose another model, or another program')
  return _rules(program, _parts(program, roles, model, shapes), shapes)


def backbone_rules(program: str, roles: Roles, model: ConfigDict, shapes: Shapes) -> list[Rule]:
  """Makes the rules of the backbone for its own file, such as ImageNet weights: names without a prefix."""
  shapes = {path: x for path, x in shapes.items() if _network(path) in BACKBONES}
  found = _parts(program, roles, model, shapes).items()
  return _rules(program, {network: dataclasses.replace(each, prefix='') for network, each in found}, shapes)


def constants(program: str, roles: Roles, model: ConfigDict, shapes: Shapes) -> dict[str, np.ndarray]:
  """Constant arrays of a detector's file, by name."""
  arrays = {}
  for each in _parts(program, roles, model, shapes).values():
    if each.name in each.constants:
      arrays |= {each.prefix + name: x for name, x in each.constants[each.name](*each.arguments).items()}
  return arrays


def nameless(rules: list[Rule], shapes: Shapes) -> list[str]:
  """Paths of a model's arrays without a rule, except the losses' state."""
  named = {rule.path for rule in rules}
  return [path for path in shapes if path not in named and not LOSS_STATE.match(path)]


def is_backbone(rule: Rule) -> bool:
  """True if an array is also in a backbone's own file."""
  return _network(rule.path) in BACKBONES


def _parts(program: str, roles: Roles, model: ConfigDict, shapes: Shapes) -> dict[str, Part]:
  """Parts of the model by network, in the order of `roles`."""
  found = {role: {} for role in roles}
  for network in dict.fromkeys(map(_network, shapes)):
    role, number = re.fullmatch(r'(.*?)(\d*)', network).groups()
    this = roles[role](model, number and f'{number}.') if role in roles else None
    if this and this.name in this.table:
      found[role][network] = this
    elif not LOSS_STATE.match(f'batch_stats/{network}/'):  # few programs save the losses' state
      what = f"{role} '{this.name}'" if this else f"network '{network}'"
      raise UnknownPart(
        f'{program} has no names for the {what}: choose a model that {program} has, or add the names to its tables in '
        'jaxdet/convert'
      )
  return {network: this for networks in found.values() for network, this in networks.items()}


def _rules(program: str, parts: Mapping[str, Part], shapes: Shapes) -> list[Rule]:
  """Makes the rules of these networks; raises UnknownPart if two arrays have the same name."""
  rules, owners = [], {}
  for network, each in parts.items():
    names = each.names
    for path in sorted((path for path in shapes if _network(path) == network), key=_reading_order):
      rules += array_rules(path, len(shapes[path].shape), names, each.prefix)
  for rule in rules:
    if rule.upstream in owners:
      raise UnknownPart(
        f"{program} has one name, '{rule.upstream}', for {owners[rule.upstream]} and {rule.path}: the model has parts "
        f'that {program} does not have'
      )
    owners[rule.upstream] = rule.path
  return rules


def _network(path: str) -> str:
  """Network of a path: 'backbone' of 'params/backbone/stem/conv/kernel'."""
  return path.split('/')[1]


def _reading_order(path: str) -> tuple:
  """Sort key: modules by name and number, their arrays in torch's order."""
  module, _, array = path.split('/', 2)[2].rpartition('/')
  numbers = [(text, int(number or 0)) for text, number in re.findall(r'([^\d]+)(\d*)', module)]
  return numbers, list(ARRAYS).index(array) if array in ARRAYS else len(ARRAYS), array
