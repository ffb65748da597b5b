"""Models as rows: what is published of them, lines of the terminal, the page."""

import pathlib

import pytest

from jaxdet.parity.upstream import bare
from jaxdet.zoo import model_table
from jaxdet.zoo.lines import read_models
from jaxdet.zoo.model_size import Size
from jaxdet.zoo.model_table import Published, Row

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_line_of_published_accuracy_with_too_few_fields_is_named(tmp_path):
  (tmp_path / 'published.csv').write_text('# a comment\nx.py,mmdet,38.2\n')
  with pytest.raises(ValueError, match='published.csv:2: 3 fields'):
    model_table.read_published(tmp_path / 'published.csv')


def test_the_published_table_speaks_of_models_that_there_are():
  models = read_models(ROOT)
  published = model_table.read_published(ROOT / 'configs' / 'published.csv')
  assert {f'{program}/{upstream}' for program, upstream in published} <= set(models)
  assert published['detectron2', 'COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x'] == Published('38.6', '35.2')
  assert published['mmdet', bare('rpn/rpn_r50_fpn_1x_coco.py')] == Published(other='AR1000=58.2')
  for values in published.values():
    numbers = [value for value in (values.box_ap, values.mask_ap, values.other.rpartition('=')[2]) if value]
    assert numbers and all(1 < float(number) < 100 for number in numbers)


def row(**kwargs) -> Row:
  given = {'program': 'mmdet', 'upstream': 'rpn/small', 'config': 'a.py', 'size': Size(1_230_000, 4.56e9)}
  return Row(**given | {'canvas': (800, 1344), 'published': Published('38.2'), 'parity': 'PASS'} | kwargs)


def test_the_page_groups_by_program_and_folder():
  rows = [row(), row(program='detectron2', upstream='COCO/b'), row(upstream='rpn/c', size=Size(1, None))]
  page = model_table.page(rows, 'python x.py', 'jax 1')
  assert '| small | `a.py` | 800 x 1344 | 1.23 M | 4.6 | 38.2 | - | PASS |\n| c |' in page
  assert page.index('## mmdetection\n\n### rpn\n') < page.index('## Detectron2\n\n### COCO\n')
  assert '| other |' not in page
  assert '| other | parity |' in model_table.page([row(published=Published(other='AR1000=58.2'))], '', '')


def test_columns_on_the_terminal_are_aligned():
  first, second = model_table.heading((20, 6)), model_table.line(row(), (20, 6))
  for column, value in (('parameters', '1.23 M'), ('GFLOPs', '4.6'), ('box AP', '38.2'), ('mask AP', '-')):
    assert first.index(column) + len(column) == second.index(value, 20) + len(value)
  assert first.index('parity') == second.index('PASS') and first.index('config') == second.index('a.py')
