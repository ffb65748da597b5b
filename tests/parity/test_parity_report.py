"""Lines of the terminal, and the page."""

import pytest

from jaxdet.parity import report
from jaxdet.parity.compare import Check
from jaxdet.parity.records import ERROR, NO_CONFIG, Record, summarize
from jaxdet.parity.run import run_case

GOOD, CLOSE = Check('losses', 'loss_a', 1e-6, 1e-4), Check('losses', 'loss_b', 5e-5, 1e-4)
BAD = Check('rpn', 'rpn/cls/0', 2e-4, 1e-4)
ROUNDED = Check('backbone', 'backbone/3', 2e-4, 1e-4, rounding=1.5e-4)


def record(*checks, notes=(), **kwargs) -> Record:
  return Record('mmdet/a', 'configs/a.py', **summarize(checks, notes), **kwargs)


@pytest.mark.parametrize(
  'made, verdict',
  [
    (record(GOOD, CLOSE), 'PASS'),
    (record(ROUNDED, BAD), 'FAIL backbone, rpn'),
    (record(GOOD, notes=('config.model.test.iou is 0.6',)), 'FAIL config'),
    (Record('mmdet/a', 'configs/a.py', ERROR, error='override not understood: X'), 'override not understood: X'),
    (Record('mmdet/a', '', NO_CONFIG), 'no config yet'),
  ],
)
def test_a_line_ends_in_the_verdict(made, verdict):
  assert report.line(made).endswith(f'  {verdict}')


def test_a_line_shows_the_worst_number_of_a_stage():
  assert ' 5.0e-05 ' in report.line(record(GOOD, CLOSE))
  assert ' 2.0e-04~ ' in report.line(record(ROUNDED))


def test_what_failed_is_named():
  assert report.details(record(GOOD, BAD, BAD)) == ['    rpn: rpn/cls/0 2.00e-04 > 0.0001 (2 checks)']
  [line] = report.details(record(ROUNDED))
  assert line == '    backbone: backbone/3 2.00e-04 > 0.0001, in float64 1.5e-04 (1 checks)'
  assert report.details(record(GOOD, notes=('config.model.test.iou is 0.6',))) == ['    config.model.test.iou is 0.6']


def test_the_page_groups_by_program_and_lists_what_did_not_run():
  records = [Record('mmdet/b', '', NO_CONFIG), record(GOOD), Record('detectron2/c', '', NO_CONFIG)]
  page = report.page(records, 'python x.py', 'jax 1')
  assert '1 of 1 cases that ran pass, 0 miss by rounding alone (~); 2 of 3 recorded cases did not run.' in page
  assert '| a | `configs/a.py` | 1.0e-06 |' in page and 'from parity.json, with jax 1, float32.' in page
  assert page.index('## mmdetection') < page.index('No config yet: b.') < page.index('## Detectron2')


def test_a_case_that_breaks_becomes_a_line(tmp_path):
  (tmp_path / 'mmdet').mkdir()
  (tmp_path / 'mmdet' / 'a.npz').write_bytes(b'nothing')
  broken, checks = run_case(tmp_path, 'mmdet/a', {})
  assert broken.verdict == ERROR and broken.error and checks == []
