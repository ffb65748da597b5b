"""Nobody imports upward: the floors of docs/design.md against the imports of the code."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
WITH_PIPELINE = {'jaxdet.parity.case'}  # draws the masks of recorded runs as the pipeline draws those of training
WITH_TFDS = {'input_pipeline.builder'}  # for those who use TFDS; nothing imports it
WITH_TORCH = {'jaxdet.benchmark.torchvision_program'}  # is run by a Python that has it, never imported


def read_floors() -> dict[str, int]:
  """{module or package: floor} of the table's rows `| floor | `jaxdet/{a,b}/`, .. | holds |`."""
  floors = {}
  for row in re.finditer(r'^\| (\d+) \| (.*?) \|', (ROOT / 'docs' / 'design.md').read_text(), re.MULTILINE):
    for path in re.findall(r'`(.*?)`', row[2]):
      before, names, after = re.fullmatch(r'(.*?)(?:\{(.*)\}(.*))?', path).groups()
      for name in names.split(',') if names else ['']:
        floors[f'{before}{name}{after or ""}'.removesuffix('.py').strip('/').replace('/', '.')] = int(row[1])
  return floors


FLOORS = read_floors()


def room(module: str) -> str:
  """The longest name of the table that a module is, or is in."""
  parts = module.split('.')
  return next(name for i in range(len(parts), 0, -1) if (name := '.'.join(parts[:i])) in FLOORS)


def modules(package: str = 'jaxdet'):
  """(name, tree) of every module of a package."""
  for path in sorted((ROOT / package).rglob('*.py')):
    name = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
    if name != 'jaxdet':  # it holds the version, and may be imported by all
      yield name, ast.parse(path.read_text())


def imported(node: ast.AST, inside_functions: bool = True):
  """The modules that a tree imports, with what is taken from them; without functions those when it is loaded."""
  for child in ast.iter_child_nodes(node):
    if isinstance(child, ast.Import):
      yield from (alias.name for alias in child.names)
    elif isinstance(child, ast.ImportFrom):
      yield from (f'{child.module}.{alias.name}' for alias in child.names)
    elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
      yield from imported(child, inside_functions)


def arrows():
  """(module, other module or what is taken from it) of every import within the library."""
  for name, tree in modules():
    yield from ((name, other) for other in imported(tree) if other.startswith('jaxdet.'))


def test_nobody_imports_upward():
  assert [arrow for arrow in arrows() if FLOORS[room(arrow[1])] > FLOORS[room(arrow[0])]] == []


def test_no_two_rooms_import_each_other():
  between = {(room(name), room(other)) for name, other in arrows()}
  both_ways = {(a, b) for a, b in between if a < b and (b, a) in between}
  # A package and what is inside it are one room in two rows.
  assert {(a, b) for a, b in both_ways if not b.startswith(f'{a}.')} == set()


def test_the_input_pipeline_knows_structures_and_annotations_and_only_the_commands_know_it():
  known = {
    room(other) for _, tree in modules('input_pipeline') for other in imported(tree) if other.startswith('jaxdet.')
  }
  allowed = ('structures', 'annotations', 'configuration', 'config_ranges', 'parts', 'protocol_buffers')
  assert known <= {f'jaxdet.{name}' for name in allowed}
  importers = {name for name, tree in modules() if any(other.startswith('input_pipeline') for other in imported(tree))}
  assert {name for name in importers if not name.startswith('jaxdet.cli.')} == WITH_PIPELINE


def test_no_module_loads_torch_or_tensorflow_or_opencv():
  foreign = ('torch', 'torchvision', 'tensorflow', 'tensorflow_datasets', 'cv2', 'lvis')
  loading = {
    name
    for name, tree in (*modules(), *modules('input_pipeline'))
    for other in imported(tree, inside_functions=False)
    if other.partition('.')[0] in foreign
  }
  assert loading == WITH_TORCH | WITH_TFDS


def test_no_test_file_needs_an_optional_package():
  optional = ('torch', 'torchvision', 'timm', 'tensorflow', 'tensorflow_datasets', 'cv2', 'lvis', 'matplotlib')
  importing = {
    path.name
    for path in (ROOT / 'tests').rglob('*.py')
    for other in imported(ast.parse(path.read_text()), inside_functions=False)
    if other.partition('.')[0] in optional
  }
  assert importing == set()


def test_every_module_has_a_floor_and_every_room_of_the_table_is_there():
  names = {name for name, _ in modules()}
  inside = {(name, place) for name in names for place in FLOORS if f'{name}.'.startswith(f'{place}.')}
  assert names - {name for name, _ in inside} == set()
  assert set(FLOORS) - {place for _, place in inside} == set()
