"""Counts the bytes that a program's kernels read and write in GPU memory, part by part, from its compiled text.

Most of a detector's step is memory-bound, so bytes over bandwidth are a lower bound of its time, and a part that moves
more bytes than its arrays have is found without a GPU. Operands that a kernel only slices, gathers from or adds into in
place count by the elements taken or added; caches are ignored.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from jaxdet.benchmark.estimated_cycles import NAME, parse_computations, part_of

ITEM = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 'f32': 4, 's32': 4, 'u32': 4}
ITEM |= {'f64': 8, 's64': 8, 'u64': 8}
ARRAY = re.compile(r'(\w+)\[([\d,]*)\]')
INSTRUCTION = re.compile(r'^\s*(ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*?)\)(?:, |$)')
CALLED = re.compile(r'(?:calls|to_apply)=%?([\w.\-]+)')
BODY = re.compile(r'body=%?([\w.\-]+)')
BRANCHES = re.compile(
  r'(?:branch_computations=\{([^}]*)\}|true_computation=%?([\w.\-]+), false_computation=%?([\w.\-]+))'
)
ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
FREE = {'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'iota', 'partition-id', 'after-all'}
TAKES = {'slice', 'dynamic-slice', 'gather'}  # operations that read a part of their first operand
ADDS = {'dynamic-update-slice': 1, 'scatter': 2}  # operations that add in place: index of the operand that is added


class Instruction(NamedTuple):
  """A line of a computation."""

  name: str
  items: int  # elements of its result
  bytes: int
  operation: str
  operands: tuple[str, ...]
  is_root: bool
  line: str


class Moved(NamedTuple):
  """Bytes by part."""

  forward: Counter[str]
  backward: Counter[str]
  kernels: Counter[tuple[str, str]]  # bytes of each kernel, with its full name
  open_loops: Counter[str]  # loops with a number of rounds that depends on data, by part; counted as one round each

  @property
  def total(self) -> int:
    return self.forward.total() + self.backward.total()


def moved_bytes(text: str) -> Moved:
  """Sums the bytes of a compiled program's kernels, `compiled.as_text()`; of branches the costliest counts."""
  lines, entry = parse_computations(text)
  parsed = {name: list(_instructions(body)) for name, body in lines.items()}

  def of_computation(name: str) -> Moved:
    moved = Moved(Counter(), Counter(), Counter(), Counter())
    sizes = {each.name: each.bytes for each in parsed.get(name, ())}
    for each in parsed.get(name, ()):
      full_name = found[1] if (found := NAME.search(each.line)) else ''
      part, backward = part_of(full_name)
      if each.operation == 'while':
        rounds = ROUNDS.search(each.line)
        moved.open_loops[part] += rounds is None
        _add(moved, of_computation(BODY.search(each.line)[1]), int(rounds[1]) if rounds else 1)
      elif each.operation == 'conditional':
        names = [
          name.strip(' %') for group in BRANCHES.search(each.line).groups() if group for name in group.split(',')
        ]
        _add(moved, max(map(of_computation, names), key=lambda moved: moved.total))
      elif each.operation == 'call' or each.operation.endswith('-start'):
        if found := CALLED.search(each.line):
          _add(moved, of_computation(found[1]))
      elif each.operation not in FREE and not each.operation.endswith(('-done', '-update')):
        if each.operation == 'fusion':
          count = _of_fusion(parsed[CALLED.search(each.line)[1]])
        elif each.operation in TAKES:
          count = 2 * each.bytes
        elif each.operation in ADDS:
          count = 2 * sizes.get(each.operands[ADDS[each.operation]], 0)
        else:
          count = each.bytes + sum(sizes.get(operand, 0) for operand in each.operands)
        (moved.backward if backward else moved.forward)[part] += count
        moved.kernels[each.name, full_name] += count
    return moved

  return of_computation(entry)


def _of_fusion(fused: list[Instruction]) -> int:
  """Bytes of a kernel made of these instructions."""
  by_name = {each.name: each for each in fused}
  users: dict[str, list[Instruction]] = {}
  for each in fused:
    for operand in each.operands:
      users.setdefault(operand, []).append(each)

  @functools.cache
  def needed(name: str) -> float:
    """Share of an instruction's result that is read."""
    own, total = by_name[name], 0.0
    for user in users.get(name, ()):
      if user.operation in ADDS and user.operands[0] == name:
        continue
      share = 1.0 if user.is_root else needed(user.name)
      if user.operation in TAKES and user.operands[0] == name:
        total += share * user.items / own.items
      elif user.items == own.items or user.operation in ('pad', 'concatenate'):
        total += share
      else:
        return 1.0
    return 1.0 if own.is_root else min(total, 1.0)

  def written(each: Instruction) -> int:
    if each.operation == 'bitcast' and each.operands[0] in by_name:
      return written(by_name[each.operands[0]])
    if each.operation not in ADDS:
      return each.bytes
    added = by_name[each.operands[ADDS[each.operation]]].bytes
    return 2 * added if each.operation == 'scatter' else added

  reads = sum(needed(each.name) * each.bytes for each in fused if each.operation == 'parameter')
  [root] = [each for each in fused if each.is_root]
  results = [by_name[name] for name in root.operands] if root.operation == 'tuple' else [root]
  return round(reads) + sum(map(written, results))


def _add(moved: Moved, other: Moved, rounds: int = 1) -> None:
  for own, more in zip(moved, other, strict=True):
    for key, count in more.items():
      own[key] += count * rounds


def _instructions(lines: list[str]) -> Iterator[Instruction]:
  for line in lines:
    if found := INSTRUCTION.match(line):
      root, name, made, operation, arguments = found.groups()
      operands = tuple(word.split('%')[-1] for word in re.sub(r'/\*.*?\*/', '', arguments).split(', ') if '%' in word)
      yield Instruction(name, *_size(made), operation, operands, bool(root), line)


def _size(made: str) -> tuple[int, int]:
  """Elements and bytes of an array, or of a tuple of arrays."""
  arrays = [
    (ITEM.get(t, 0), math.prod(int(side) for side in sides.split(',') if side)) for t, sides in ARRAY.findall(made)
  ]
  return sum(items for _, items in arrays), sum(each * items for each, items in arrays)
