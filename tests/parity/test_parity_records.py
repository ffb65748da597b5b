"""Records of cases: what is kept of the numbers, the file, and the page that is written from it."""

import math
import pathlib

import pytest

from jaxdet.parity import report
from jaxdet.parity.compare import Check
from jaxdet.parity.records import ERROR, NO_CONFIG, Record, Worst, read_records, summarize, write_records

DOCS = pathlib.Path(__file__).resolve().parents[2] / 'docs'
GOOD, CLOSE = Check('losses', 'loss_a', 1e-6, 1e-4), Check('losses', 'loss_b', 5e-5, 1e-4)
BAD, WORSE = Check('rpn', 'rpn/cls/0', 2e-4, 1e-4), Check('rpn', 'rpn/cls/1', math.nan, 1e-4)
ROUNDED = Check('backbone', 'backbone/3', 2e-4, 1e-4, rounding=1.5e-4)


def record(*checks, notes=(), **kwargs) -> Record:
  return Record('mmdet/a', 'configs/a.py', **summarize(checks, notes), **kwargs)


@pytest.mark.parametrize(
  'made, verdict, failed',
  [
    (record(GOOD, CLOSE), 'PASS', ()),
    (record(GOOD, BAD, WORSE), 'FAIL', ('rpn',)),
    (record(GOOD, ROUNDED), 'ROUNDING', ('backbone',)),
    (record(ROUNDED, BAD), 'FAIL', ('backbone', 'rpn')),
    (record(GOOD, notes=('config.model.test.iou is 0.6',)), 'FAIL', ('config',)),
    (record(ROUNDED, notes=('config.model.test.iou is 0.6',)), 'FAIL', ('config', 'backbone')),
  ],
)
def test_a_case_passes_if_all_its_numbers_do(made, verdict, failed):
  assert (made.verdict, made.failed, made.ran) == (verdict, failed, True)


def test_of_a_stage_the_number_closest_to_its_tolerance_is_kept():
  assert record(GOOD, CLOSE).stages == {'losses': Worst(CLOSE)}
  assert record(BAD, WORSE).stages['rpn'].check is WORSE and record(BAD, WORSE).stages['rpn'].failed == 2  # no number
  exact = record(Check('boxes', 'a', 0, 0), Check('boxes', 'b', 1, 0))
  assert exact.stages['boxes'].check.name == 'b'


def test_records_come_back_from_their_file_in_order_of_cases(tmp_path):
  made = [
    record(GOOD, ROUNDED, Check('roi', 'roi/0', math.inf, 1e-4), compared=3, recorded=4, seconds=1.5, notes=('x',)),
    Record('detectron2/b', 'configs/b.py', ERROR, error='override not understood: X'),
    Record('mmdet/c', '', NO_CONFIG),
  ]
  write_records(tmp_path / 'x.json', made, 'jax 1')
  assert read_records(tmp_path / 'x.json') == ([made[1], made[0], made[2]], 'jax 1')
  assert len((tmp_path / 'x.json').read_text().splitlines()) == 2 + len(made)  # a line a case
  assert read_records(tmp_path / 'y.json') == ([], '')


@pytest.mark.parametrize(
  'text, error',
  [
    ('## Detectron2', 'x.json holds no records of cases'),
    ('[]', 'x.json holds no records of cases'),
    (
      '{"made_with": "", "cases": [{"case": "mmdet/a", "verdict": "FINE", "stages": {}}]}',
      "mmdet/a: unknown verdict 'F",
    ),
    ('{"made_with": "", "cases": [{"case": "mmdet/a", "stages": {}}]}', "case mmdet/a: 'verdict'"),
  ],
)
def test_a_file_of_another_kind_is_named(tmp_path, text, error):
  (tmp_path / 'x.json').write_text(text)
  with pytest.raises(ValueError, match=error):
    read_records(tmp_path / 'x.json')


def test_the_page_of_the_project_is_that_of_its_records():
  records, made_with = read_records(DOCS / 'parity.json')
  page = report.page(records, 'python scripts/parity.py', made_with)
  assert page == (DOCS / 'parity.md').read_text()
