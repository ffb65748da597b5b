"""Reads the TPU compiler's estimated cycles, part by part, from a compiled program's text.

The compiler annotates every operation with cycles, by which it chooses layouts and fusions. Nothing is run: use the
estimates to compare two forms of the same step, and to find the large parts.
"""

import re
from collections import Counter
from typing import NamedTuple

COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
NAME = re.compile(r'op_name="([^";]*)')
LOOP = re.compile(r' while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)')
BRANCHES = re.compile(r'(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=(%?[\w.\-]+))')
CONSTANT = re.compile(r'%?([\w.\-]+) = s32\[\]\S* constant\((\d+)\)')
LIMIT = re.compile(r'ROOT .* compare\(%?([\w.\-]+), %?([\w.\-]+)\), direction=LT')
IMPOSSIBLE = 10**12  # the compiler's value for unknown

# An element of an operation's name: a network or a `jax.named_scope`, inside transformations.
SCOPE = re.compile(r'^(?:(?:transpose|jvp|vmap)\()*([^()]*)\)*$')
TRACED = re.compile(r'^(shard_map|cond|while|body|closed_call|branch_\d+_fun|)$')  # elements added by tracing
REST = 'all else'


class Estimate(NamedTuple):
  """Cycles by part."""

  forward: Counter[str]
  backward: Counter[str]
  open_loops: Counter[str]  # loops with a number of rounds that depends on data, by part; counted as one round each

  @property
  def total(self) -> int:
    return self.forward.total() + self.backward.total()

  def by_cost(self) -> list[str]:
    """Parts, the costliest first."""
    return [part for part, _ in (self.forward + self.backward).most_common()]


def estimated_cycles(text: str) -> Estimate:
  """Sums the cycles of a compiled program, `compiled.as_text()`; of branches the costliest counts.

  Raises:
    ValueError: the text has no estimates; only TPU compilers write them.
  """
  if '"estimated_cycles"' not in text:
    raise ValueError('the compiled program holds no estimates: only the TPU compiler writes them')
  computations, entry = parse_computations(text)

  def of_computation(name: str) -> Estimate:
    estimate = Estimate(Counter(), Counter(), Counter())
    for line in computations.get(name, ()):
      part, backward = part_of(found[1] if (found := NAME.search(line)) else '')
      if loop := LOOP.search(line):
        rounds = _rounds(computations.get(loop[1], ()))
        estimate.open_loops[part] += rounds is None
        _add(estimate, of_computation(loop[2]), rounds or 1)
        continue
      if branches := [name.strip(' %') for found in BRANCHES.findall(line) for name in ''.join(found).split(',')]:
        _add(estimate, max(map(of_computation, branches), key=lambda estimate: estimate.total))
      if (found := CYCLES.search(line)) and int(found[1]) < IMPOSSIBLE:
        (estimate.backward if backward else estimate.forward)[part] += int(found[1])
    return estimate

  return of_computation(entry)


def part_of(name: str) -> tuple[str, bool]:
  """Parses an operation's name to (network or scope, True for the backward pass).

  `jit(step)/transpose(jvp(FPN))/output2/add` is ('FPN', True).
  """
  *scopes, _ = name.split('/')  # the last is the operation
  for scope in scopes:
    if (found := SCOPE.match(scope)) and not TRACED.match(found[1]):
      return found[1], 'transpose(' in name
  return REST, 'transpose(' in name


def _add(estimate: Estimate, other: Estimate, rounds: int = 1) -> None:
  for own, more in zip(estimate, other, strict=True):
    for part, count in more.items():
      own[part] += count * rounds


def parse_computations(text: str) -> tuple[dict[str, list[str]], str]:
  """Lines of every computation by name, and the name of the entry computation."""
  computations, entry, lines = {}, '', []
  for line in text.splitlines():
    if found := COMPUTATION.match(line):
      lines = computations.setdefault(found[2], [])
      entry = found[2] if found[1] else entry
    elif line.startswith('  '):
      lines.append(line)
  return computations, entry


def _rounds(condition: list[str]) -> int | None:
  """Number of rounds of a loop that counts from zero to a constant; None for other loops."""
  limits = {name: int(value) for line in condition for name, value in CONSTANT.findall(line)}
  for line in condition:
    if found := LIMIT.search(line):
      return limits.get(found[2])
  return None
