"""The packages of setup.py are those that the code imports, and docs/design.md says what each is for."""

import ast
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
OWN = {'jaxdet', 'input_pipeline', 'configs'}
PACKAGES = {  # by the names of their modules, where these differ
  'PIL': 'pillow',
  'absl': 'absl-py',
  'orbax': 'orbax-checkpoint',
  'tensorflow_datasets': 'tensorflow-datasets',
}
NOT_INSTALLED = {'torchvision'}  # of an interpreter that the user names


@pytest.fixture(scope='module')
def settings() -> dict:
  """Arguments of `setuptools.setup` that are literals."""
  [call] = [
    node
    for node in ast.walk(ast.parse((ROOT / 'setup.py').read_text()))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'setuptools.setup'
  ]
  literals = {}
  for keyword in call.keywords:
    try:
      literals[keyword.arg] = ast.literal_eval(keyword.value)
    except ValueError:
      pass
  return literals


def names(requirements) -> set[str]:
  return {re.match('[A-Za-z0-9_-]+', requirement)[0] for requirement in requirements}


def imported_packages() -> set[str]:
  """Packages that jaxdet, the pipeline and the configs import, also inside functions."""
  found = set()
  for path in (path for name in OWN for path in (ROOT / name).rglob('*.py')):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Import):
        found |= {alias.name.partition('.')[0] for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and node.level == 0:
        found.add(node.module.partition('.')[0])
  return {PACKAGES.get(name, name) for name in found - set(sys.stdlib_module_names) - OWN}


def table(first_column: str) -> list[list[str]]:
  """Names in backquotes in the cells of each row of a table of docs/design.md."""
  text = (ROOT / 'docs' / 'design.md').read_text()
  rows = re.search(rf'^\| {first_column} \|.*\n\|[-|]+\n((?:\|.*\n)+)', text, re.MULTILINE)[1]
  return [[re.findall('`(.*?)`', cell) for cell in row.split('|')[1:-1]] for row in rows.splitlines()]


def test_the_base_install_is_what_the_code_imports(settings):
  base, extras = names(settings['install_requires']), names(sum(settings['extras_require'].values(), []))
  assert base <= imported_packages()
  assert imported_packages() - base - extras == NOT_INSTALLED


def test_the_docs_say_what_every_package_is_for(settings):
  assert {package for [packages, *_] in table('package') for package in packages} == names(settings['install_requires'])
  documented = {extra: set(packages) for extras, packages, *_ in table('extra') for extra in extras}
  assert documented == {extra: names(packages) for extra, packages in settings['extras_require'].items()}


def test_importing_jaxdet_imports_nothing():
  tree = ast.parse((ROOT / 'jaxdet' / '__init__.py').read_text())
  assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
