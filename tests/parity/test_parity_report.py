"""Verdicts, lines and the page."""

import json
import math

import pytest

from jaxdet.parity import report
from jaxdet.parity.compare import Check
from jaxdet.parity.run import Result, run_case

GOOD, CLOSE = Check('losses', 'loss_a', 1e-6, 1e-4), Check('losses', 'loss_b', 5e-5, 1e-4)
BAD, WORSE = Check('rpn', 'rpn/cls/0', 2e-4, 1e-4), Check('rpn', 'rpn/cls/1', math.nan, 1e-4)
ROUNDED = Check('backbone', 'backbone/3', 2e-4, 1e-4, rounding=1.5e-4)


def result(*checks, **kwargs) -> Result:
  return Result('mmdet/a', 'configs/a.py', checks, **kwargs)


@pytest.mark.parametrize(
  'made, verdict',
  [
    (result(GOOD, CLOSE), 'PASS'),
    (result(GOOD, BAD, WORSE), 'FAIL rpn'),
    (result(GOOD, ROUNDED), 'ROUNDING backbone'),
    (result(ROUNDED, BAD), 'FAIL backbone, rpn'),
    (result(GOOD, notes=('config.model.test.iou is 0.6',)), 'FAIL config'),
    (result(error='override not understood: X'), 'override not understood: X'),
    (Result('mmdet/a', ''), 'no config yet'),
  ],
)
def test_verdicts(made, verdict):
  assert made.verdict == verdict
  assert report.line(made).endswith(verdict)


def test_a_stage_shows_what_comes_closest_to_its_tolerance():
  assert report.worst([GOOD, CLOSE, BAD], 'losses') == CLOSE
  assert report.worst([BAD, WORSE], 'rpn') is WORSE  # not a number: worse than any
  assert report.worst([Check('boxes', 'a', 0, 0), Check('boxes', 'b', 1, 0)], 'boxes').name == 'b'
  assert report.worst([GOOD], 'rpn') is None
  assert ' 5.0e-05 ' in report.line(result(GOOD, CLOSE))


def test_what_failed_is_named():
  assert report.details(result(GOOD, BAD, BAD)) == ['    rpn: rpn/cls/0 2.00e-04 > 0.0001 (2 checks)']
  [line] = report.details(result(ROUNDED))
  assert line == '    backbone: backbone/3 2.00e-04 > 0.0001, in float64 1.5e-04 (1 checks)'


def test_the_page_groups_by_program_and_lists_what_did_not_run():
  page = report.page([result(GOOD), Result('mmdet/b', ''), Result('detectron2/c', '')], 'python x.py')
  assert '1 of 1 cases that ran pass, 0 miss by rounding alone (~); 2 of 3 recorded cases did not run.' in page
  assert '| a | `configs/a.py` | 1.0e-06 |' in page
  assert page.index('## mmdetection') < page.index('No config yet: b.') < page.index('## Detectron2')


def test_json_holds_every_number(tmp_path):
  report.write_json([result(GOOD, CLOSE, covered=3, recorded=4)], tmp_path / 'x.json')
  [row] = json.loads((tmp_path / 'x.json').read_text())
  assert row['checks'] == [['losses', 'loss_a', 1e-6, 1e-4, True, 0.0], ['losses', 'loss_b', 5e-5, 1e-4, True, 0.0]]
  assert row['tensors'] == {'compared': 3, 'recorded': 4}


def test_a_case_that_breaks_becomes_a_line(tmp_path):
  (tmp_path / 'mmdet').mkdir()
  (tmp_path / 'mmdet' / 'a.npz').write_bytes(b'nothing')
  broken = run_case(tmp_path, 'mmdet/a', {})
  assert not broken.passed and broken.verdict


def test_results_come_back_from_their_file(tmp_path):
  made = [
    result(GOOD, ROUNDED, covered=3, recorded=4),
    result(error='override not understood: X'),
    Result('mmdet/b', ''),
  ]
  report.write_json(made, tmp_path / 'x.json')
  assert report.read_json(tmp_path / 'x.json') == made
  assert report.read_json(tmp_path / 'y.json') == []
