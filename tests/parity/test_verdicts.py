"""Verdicts, read back from the page that the parity suite writes."""

import pytest

from jaxdet.parity import report
from jaxdet.parity.compare import Check
from jaxdet.parity.run import Result
from jaxdet.parity.verdicts import Verdict, read_page, summary

GOOD = Check('losses', 'loss_a', 1e-6, 1e-4)
BAD, LOST = Check('rpn', 'rpn/cls/0', 2e-4, 1e-4), Check('boxes', 'det0', 1.0, 0.05)
ROUNDED = Check('backbone', 'backbone/3', 2e-4, 1e-4, rounding=1.5e-4)


def test_what_the_report_writes_is_read_back(tmp_path):
  results = [
    Result('mmdet/a', 'configs/a.py:x=1,y=2', (GOOD,)),
    Result('mmdet/b', 'configs/b.py', (BAD, LOST)),
    Result('mmdet/c', ''),
    Result('detectron2/a', 'configs/a.py', (ROUNDED,), covered=3, recorded=4),
    Result('disalign/d', 'configs/a.py', error='ValueError: none'),
  ]
  (tmp_path / 'parity.md').write_text(report.page(results, 'python x.py'))
  assert read_page(tmp_path / 'parity.md') == [
    Verdict('mmdet/a', 'configs/a.py:x=1,y=2', 'PASS', ()),
    Verdict('mmdet/b', 'configs/b.py', 'FAIL', ('rpn', 'boxes')),
    Verdict('detectron2/a', 'configs/a.py', 'ROUNDING', ('backbone',)),
  ]


def test_a_verdict_of_another_kind_is_named(tmp_path):
  (tmp_path / 'parity.md').write_text('## Detectron2\n\n| a | `configs/a.py` | 1e-6 | SKIPPED |\n')
  with pytest.raises(ValueError, match="parity.md:3: unknown verdict 'SKIPPED'"):
    read_page(tmp_path / 'parity.md')


PAGE = [
  Verdict('mmdet/a', 'configs/a.py', 'PASS', ()),
  Verdict('mmdet/b', 'configs/b.py', 'PASS', ()),
  Verdict('mmdet/b_large', 'configs/b.py', 'FAIL', ('rpn', 'boxes')),
  Verdict('mmdet/b_wide', 'configs/b.py', 'FAIL', ('boxes', 'masks')),
  Verdict('mmdet/b_gn', 'configs/b.py', 'ROUNDING', ('neck',)),
]


@pytest.mark.parametrize(
  'upstream, config, text',
  [
    ('x.yaml', 'configs/a.py', 'PASS'),
    ('x.yaml', 'configs/b.py', 'FAIL rpn, boxes, masks (2 of 4)'),
    ('mmdet/b_gn', 'configs/b.py', 'ROUNDING neck'),  # the line is that case's own
    ('x.yaml', 'configs/c.py', '-'),
  ],
)
def test_the_worst_verdict_of_a_config_counts(upstream, config, text):
  assert summary(PAGE, upstream, config) == text


def test_several_cases_that_pass_are_counted():
  assert summary(PAGE[:1] * 3, 'x.yaml', 'configs/a.py') == 'PASS (3 of 3)'
