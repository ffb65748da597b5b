"""docs/data.md names a test for every condition of its table."""

import itertools
import pathlib
import re

REPOSITORY = pathlib.Path(__file__).parents[1]
NAMED = re.compile(r'`(test_\w+\.py)?((?:::\w+)*)`')
WITHOUT_TEST = ('NaN in a field that is not read',)  # nothing happens


def rows() -> list[tuple[str, str]]:
  """(condition, tests) of the table's rows, without those of headings."""
  lines = iter((REPOSITORY / 'docs' / 'data.md').read_text().splitlines())
  assert '| condition | what happens, count or message | test |' in lines
  next(lines)
  table = itertools.takewhile(lambda line: line.startswith('|'), lines)
  cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in table]
  return [(condition, tests) for condition, happens, tests in cells if happens]


def test_every_condition_has_a_test_that_exists():
  files = {path.name: path.read_text() for path in (REPOSITORY / 'tests').rglob('test_*.py')}
  for condition, tests in rows():
    found = NAMED.findall(tests)
    assert found or condition in WITHOUT_TEST, f'{condition}: no test'
    file = ''
    for name, parts in found:
      file = name or file
      assert file in files, f'{condition}: there is no {file}'
      for part in parts.split('::')[1:]:
        assert re.search(rf'(def|class) {part}\b', files[file]), f'{condition}: {file} has no {part}'


def test_the_table_is_read():
  assert len(rows()) > 100
