"""Nobody imports upward: the floors of docs/design.md, read from the code's imports."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLOORS = (  # the lowest first; a module belongs to the longest prefix that fits, and imports its own floor or below
  ('jaxdet', 'jaxdet.structures', 'jaxdet.parts', 'jaxdet.configuration', 'jaxdet.flops', 'jaxdet.annotations')
  + ('jaxdet.sharding',),
  ('jaxdet.ops', 'jaxdet.visualization', 'jaxdet.assign', 'jaxdet.losses'),
  ('jaxdet.models.layers', 'jaxdet.models.backbones', 'jaxdet.models.necks', 'jaxdet.models.dense_heads')
  + ('jaxdet.models.roi_heads', 'jaxdet.models.transformers'),
  ('jaxdet.models',),
  ('jaxdet.models.detectors', 'jaxdet.models.build'),
  ('jaxdet.training', 'jaxdet.evaluation', 'jaxdet.convert'),
  ('jaxdet.compilation',),
  ('jaxdet.zoo', 'jaxdet.parity', 'jaxdet.benchmark'),
  ('jaxdet.main', 'jaxdet.command_line', 'jaxdet.commands', 'jaxdet.bench_command', 'jaxdet.conversion_commands')
  + ('jaxdet.data_commands',),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
COMMANDS = FLOOR_OF['jaxdet.main']
# Recorded runs and the table of models draw their masks and sizes with the pipeline's own functions.
WITH_PIPELINE = ('jaxdet.parity',)


def modules():
  """(name, tree) of every module of the library."""
  for path in sorted((ROOT / 'jaxdet').rglob('*.py')):
    name = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
    yield name, ast.parse(path.read_text())


def imported(tree, top_level=False):
  """The modules that a tree imports, with what is taken from them."""
  for node in tree.body if top_level else ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def floor(name: str) -> int:
  parts = name.split('.')
  return next(FLOOR_OF[key] for i in range(len(parts), 0, -1) if (key := '.'.join(parts[:i])) in FLOOR_OF)


def test_nobody_imports_upward():
  upward = [
    f'{name} imports {other}'
    for name, tree in modules()
    for other in imported(tree)
    if other.startswith('jaxdet.') and floor(other) > floor(name)
  ]
  assert upward == []


def test_below_the_commands_nobody_imports_the_input_pipeline():
  assert [
    name
    for name, tree in modules()
    if floor(name) < COMMANDS
    and not name.startswith(WITH_PIPELINE)
    and any(other.startswith('input_pipeline') for other in imported(tree))
  ] == []


def test_no_module_imports_torch_or_tensorflow_when_it_is_imported():
  foreign = [
    f'{name} imports {other}'
    for name, tree in modules()
    for other in imported(tree, top_level=True)
    if other.split('.')[0] in ('torch', 'torchvision', 'tensorflow', 'tensorflow_datasets')
  ]
  assert {line.split()[0] for line in foreign} <= {'jaxdet.benchmark.torchvision_program'}  # run, never imported
