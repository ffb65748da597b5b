"""Verdicts of the cases of a config."""

import pytest

from jaxdet.parity.records import NO_CONFIG, Record
from jaxdet.parity.verdicts import summary

RECORDS = [
  Record('mmdet/a', 'configs/a.py', 'PASS', ()),
  Record('mmdet/b', 'configs/b.py', 'PASS', ()),
  Record('mmdet/b_large', 'configs/b.py', 'FAIL', ('rpn', 'boxes')),
  Record('mmdet/b_wide', 'configs/b.py', 'FAIL', ('boxes', 'masks')),
  Record('mmdet/b_gn', 'configs/b.py', 'ROUNDING', ('neck',)),
  Record('mmdet/c', 'configs/c.py', NO_CONFIG),
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
  assert summary(RECORDS, upstream, config) == text


def test_several_cases_that_pass_are_counted():
  assert summary(RECORDS[:1] * 3, 'x.yaml', 'configs/a.py') == 'PASS (3 of 3)'
