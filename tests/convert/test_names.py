"""Names by patterns over a network's own paths, and the layouts that follow from ranks."""

import numpy as np
import pytest

from jaxdet.convert.layouts import CONV, DECONV, FIRST_ROW_LAST, LINEAR, SAME
from jaxdet.convert.names import Named, array_rules, within


def found(path: str, names: dict, rank: int = 4, prefix: str = '') -> list[str]:
  return [rule.upstream for rule in array_rules(f'params/net/{path}', rank, names, prefix)]


NAMES = {
  'stem/conv': 'conv1',
  'stage#/block#/conv#': lambda s, b, i: f'layer{s - 1}.{b}.conv{i}',
  'queries/embedding': 'level_embed',
  'scale#': lambda level: f'scales.{level - 3}.scale',
  'fc0': 'first',
  'fc#': lambda i: f'fc.{i}',
}


@pytest.mark.parametrize(
  'path, names',
  [
    ('stem/conv/kernel', ['net.conv1.weight']),
    ('stem/conv/bias', ['net.conv1.bias']),
    ('stage3/block12/conv2/kernel', ['net.layer2.12.conv2.weight']),
    ('queries/embedding', ['net.level_embed']),
    ('scale7', ['net.scales.4.scale']),
    ('fc0/bias', ['net.first.bias']),  # the first pattern that fits
    ('fc10/bias', ['net.fc.10.bias']),
    ('stem/conv/deeper/kernel', []),
    ('stage3/block/conv2/kernel', []),
    ('stem/conv/momentum', []),  # no array that torch has
  ],
)
def test_patterns_of_modules_and_arrays(path, names):
  assert found(path, NAMES, prefix='net.') == names


@pytest.mark.parametrize(
  'array, name', [('scale', 'weight'), ('bias', 'bias'), ('mean', 'running_mean'), ('var', 'running_var')]
)
def test_the_arrays_of_norms(array, name):
  assert found(f'norm/{array}', {'norm': 'bn'}, rank=1) == [f'bn.{name}']


def test_modules_inside_modules():
  inner = {'in_proj/kernel': 'in_proj_weight', 'linear#': lambda k: f'linears.{k}'}
  names = within('layer#', lambda i: f'layers.{i}', within('attention', 'attn', inner))
  assert found('layer4/attention/in_proj/kernel', names) == ['layers.4.attn.in_proj_weight']
  assert found('layer4/attention/linear2/bias', names) == ['layers.4.attn.linears.2.bias']


def test_several_names_of_one_array():
  names = {'logits': lambda: [f'branches.{i}' for i in range(3)]}
  rules = array_rules('params/net/logits/bias', 1, names, 'head.')
  assert [(rule.upstream, rule.copy) for rule in rules] == [
    ('head.branches.0.bias', False),
    ('head.branches.1.bias', True),
    ('head.branches.2.bias', True),
  ]
  assert found('x/logits/bias', within('x', 'y', names)) == [f'y.branches.{i}.bias' for i in range(3)]


def layout(path: str, names: dict, rank: int):
  (rule,) = array_rules(f'params/net/{path}', rank, names)
  return rule.layout


def test_layouts_follow_from_ranks():
  assert layout('conv/kernel', {'conv': 'a'}, 4) is CONV
  assert layout('conv/kernel', {'conv': 'a'}, 2) is LINEAR
  assert layout('conv/bias', {'conv': 'a'}, 1) is SAME
  assert layout('table/embedding', {'table': 'a'}, 2) is SAME
  assert layout('proj/kernel', {'proj/kernel': 'in_proj_weight'}, 2) is LINEAR
  with pytest.raises(ValueError, match='params/net/conv/kernel has 3 axes, of which no layout follows'):
    layout('conv/kernel', {'conv': 'a'}, 3)


def test_an_exception_is_of_the_kernel_or_of_the_one_array():
  assert layout('up/kernel', {'up': Named('a', DECONV)}, 4) is DECONV
  assert layout('up/bias', {'up': Named('a', DECONV)}, 1) is SAME
  assert layout('table', {'table': Named('a', LINEAR)}, 2) is LINEAR


def test_rows_are_those_of_weight_and_bias():
  names = {'logits': Named('cls', rows=FIRST_ROW_LAST)}
  assert np.array_equal(layout('logits/bias', names, 1).to_jaxdet(np.array([9, 1, 2])), [1, 2, 9])
  kernel = layout('logits/kernel', names, 2).to_jaxdet(np.array([[9, 9], [1, 1], [2, 2]]))
  assert np.array_equal(kernel, [[1, 2, 9], [1, 2, 9]])
