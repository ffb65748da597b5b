"""What a person reads of an import, and which names stop it."""

import numpy as np
import pytest

from jaxdet.convert import report
from jaxdet.convert.frameworks import Source
from jaxdet.convert.layouts import CONV
from jaxdet.convert.rules import ImportReport, Rule, WrongShape

SOURCE = Source(
  state={},
  rules=(Rule('conv.weight', 'params/conv/kernel', CONV), Rule('conv.bias', 'params/conv/bias')),
  backbone_only=False,
  unused=('fc.*',),
)
RESULT = ImportReport(
  loaded=('conv.weight', 'conv.bias'),
  missing=('head.bias', 'neck.weight'),
  unused=('fc.weight', 'extra'),
  wrong_shape=(WrongShape('head.weight', (81, 4), 'params/head/kernel', (4, 91)),),
  unset=('params/head/bias',),
)


def test_the_table():
  assert report.text(RESULT, SOURCE) == (
    'loaded           2  1 of them transposed\n'
    'missing          2\n'
    '  head.bias\n'
    '  neck.weight\n'
    'unused           2\n'
    '  fc.weight\n'
    '  extra\n'
    'wrong shape      1\n'
    '  head.weight of shape (81, 4) for params/head/kernel of shape (4, 91)'
  )


def test_long_lists_are_cut():
  result = ImportReport((), tuple(f'w{i}' for i in range(30)), (), (), ())
  lines = report.text(result, SOURCE, shown=2).splitlines()
  assert lines[1:5] == ['missing         30', '  w0', '  w1', '  ... and 28 more']
  assert len(report.text(result, SOURCE, shown=None).splitlines()) == 34


def test_problems_are_named_by_kind():
  assert report.problems(RESULT, SOURCE) == {
    'missing': ['head.bias', 'neck.weight'],
    'unused': ['extra'],
    'wrong shape': ['head.weight'],
    'without a rule': ['params/head/bias'],
  }


@pytest.mark.parametrize(
  'allow, left',
  [
    (['head.*'], {'missing', 'unused', 'without a rule'}),
    (['head.*', 'neck.*'], {'unused', 'without a rule'}),
    (['head.*', 'neck.*', 'extra', 'params/head/*'], set()),
    (['*'], set()),
    (['head'], {'missing', 'unused', 'wrong shape', 'without a rule'}),
  ],
)
def test_patterns_let_names_pass(allow, left):
  assert report.problems(RESULT, SOURCE, allow).keys() == left


def test_a_backbone_alone_sets_nothing_else():
  source = Source({}, SOURCE.rules, True, ('fc.*', 'extra'))
  assert report.problems(RESULT, source).keys() == {'missing', 'wrong shape'}


def test_nothing_stands_in_the_way_of_a_fitting_file():
  result = ImportReport(('conv.weight',), (), (), (), ())
  assert report.problems(result, SOURCE) == {}
  assert np.array_equal(
    report.text(result, SOURCE).splitlines()[1:], [f'{k:<12}     0' for k in ('missing', 'unused', 'wrong shape')]
  )
