"""The rule mechanism: layouts, their inverses, and what a checkpoint that does not fit is told."""

import jax
import numpy as np
import pytest

from jaxdet.convert import rules
from jaxdet.convert.rules import Layout, Rule, WrongShape, export_state, import_state

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
  'layout, upstream, here',
  [
    (rules.SAME, (5,), (5,)),
    (rules.LINEAR, (5, 7), (7, 5)),
    (rules.CONV, (8, 4, 3, 3), (3, 3, 4, 8)),
    (rules.FLIPPED_CONV, (8, 3, 7, 7), (7, 7, 3, 8)),
    (rules.DECONV, (4, 8, 2, 2), (2, 2, 4, 8)),
    (rules.linear_after_flatten(7), (10, 6 * 49), (49 * 6, 10)),
    (rules.FIRST_ROW_LAST, (5, 2), (5, 2)),
    (rules.FIRST_ROW_LAST.then(rules.LINEAR), (5, 2), (2, 5)),
  ],
)
def test_a_layouts_functions_undo_each_other(layout: Layout, upstream, here):
  array = RNG.normal(size=upstream).astype(np.float32)
  converted = layout.to_jaxdet(array)
  assert converted.shape == here
  assert np.array_equal(layout.to_upstream(converted), array)


def test_rows_that_exist_upstream_only_come_back_as_zeros():
  layout = rules.without_first_rows(2)
  assert np.array_equal(layout.to_jaxdet(np.arange(5)), [2, 3, 4])
  assert np.array_equal(layout.to_upstream(np.array([2, 3, 4])), [0, 0, 2, 3, 4])


def test_a_flipped_convolution_sees_rgb_as_upstream_sees_bgr():
  weight, rgb = RNG.normal(size=(1, 3, 1, 1)), RNG.normal(size=3)
  kernel = rules.FLIPPED_CONV.to_jaxdet(weight)
  np.testing.assert_allclose(kernel[0, 0, :, 0] @ rgb, weight[0, :, 0, 0] @ rgb[::-1])


def test_a_layer_after_flattening_sees_the_same_map():
  weight, chw = RNG.normal(size=(5, 2 * 9)), RNG.normal(size=(2, 3, 3))
  kernel = rules.linear_after_flatten(3).to_jaxdet(weight)
  np.testing.assert_allclose(chw.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ chw.reshape(-1))


def test_background_first_becomes_background_last():
  (kernel, bias) = rules.layer('cls', 'head', rules.LINEAR, rows=rules.FIRST_ROW_LAST)
  assert np.array_equal(bias.layout.to_jaxdet(np.array([9, 1, 2])), [1, 2, 9])
  assert np.array_equal(kernel.layout.to_jaxdet(np.array([[9, 9], [1, 1], [2, 2]])), [[1, 2, 9], [1, 2, 9]])


@pytest.mark.parametrize(
  'kind, paths',
  [
    ('frozen_bn', {'constants/n/scale', 'constants/n/bias', 'constants/n/mean', 'constants/n/var'}),
    ('bn_eval', {'params/n/scale', 'params/n/bias', 'constants/n/mean', 'constants/n/var'}),
    ('sync_bn', {'params/n/scale', 'params/n/bias', 'batch_stats/n/mean', 'batch_stats/n/var'}),
    ('gn', {'params/n/scale', 'params/n/bias'}),
  ],
)
def test_a_norms_arrays_go_to_the_collections_of_its_kind(kind, paths):
  table = rules.norm('bn', 'n', kind)
  assert {rule.path for rule in table} == paths
  assert {rule.upstream: rule.path.rpartition('/')[2] for rule in table}.items() <= {
    'bn.weight': 'scale',
    'bn.bias': 'bias',
    'bn.running_mean': 'mean',
    'bn.running_var': 'var',
  }.items()


TABLE = [
  Rule('conv.weight', 'params/net/conv/kernel', rules.CONV),
  Rule('bn.running_var', 'constants/net/norm/var'),
]
VARIABLES = {
  'params': {'net': {'conv': {'kernel': jax.ShapeDtypeStruct((3, 3, 2, 4), np.float32)}}},
  'constants': {'net': {'norm': {'var': np.ones(4, np.float32)}}},
  'batch_stats': {},
}
STATE = {'conv.weight': RNG.normal(size=(4, 2, 3, 3)), 'bn.running_var': np.arange(4.0)}


def test_import_and_export():
  variables, report = import_state(STATE | {'bn.num_batches_tracked': np.array(3)}, VARIABLES, TABLE)
  report.check()
  assert report.loaded == ('conv.weight', 'bn.running_var')
  assert variables.keys() == VARIABLES.keys()
  kernel = variables['params']['net']['conv']['kernel']
  assert kernel.dtype == np.float32 and kernel[1, 2, 0, 3] == np.float32(STATE['conv.weight'][3, 0, 1, 2])
  exported = export_state(variables, TABLE)
  assert all(np.array_equal(exported[name], np.float32(STATE[name])) for name in STATE)


def test_gradients_are_exported_by_the_rules_of_their_collection():
  gradients = {'params': {'net': {'conv': {'kernel': np.ones((3, 3, 2, 4))}}}}
  exported = export_state(gradients, [rule for rule in TABLE if rule.collection == 'params'])
  assert exported['conv.weight'].shape == (4, 2, 3, 3)
  with pytest.raises(KeyError, match='constants/net/norm/var'):
    export_state(gradients, TABLE)


def test_what_does_not_fit_is_named():
  state = {'conv.weight': np.ones((4, 2, 1, 1)), 'fc.weight': np.ones(1)}
  variables, report = import_state(state, VARIABLES, TABLE)
  assert report.loaded == ()
  assert report.missing == ('bn.running_var',)
  assert report.unused == ('fc.weight',)
  assert report.wrong_shape == (WrongShape('conv.weight', (4, 2, 1, 1), 'params/net/conv/kernel', (3, 3, 2, 4)),)
  assert report.unset == ('params/net/conv/kernel', 'constants/net/norm/var')
  assert np.array_equal(variables['constants']['net']['norm']['var'], np.ones(4))
  sentence = r'1 wrong shape: conv.weight of shape \(4, 2, 1, 1\) for params/net/conv/kernel of shape \(3, 3, 2, 4\)'
  with pytest.raises(ValueError, match=f'1 missing: bn.running_var; 1 unused: fc.weight; {sentence}'):
    report.check()


def test_an_array_with_too_few_axes_has_the_wrong_shape():
  _, report = import_state(STATE | {'conv.weight': np.ones(5)}, VARIABLES, TABLE)
  assert len(report.wrong_shape) == 1


def test_an_array_without_a_rule_is_unset():
  _, report = import_state({'bn.running_var': np.ones(4)}, VARIABLES, TABLE[1:])
  assert report.unset == ('params/net/conv/kernel',) and report.missing == ()


def test_a_table_of_another_model_is_refused():
  with pytest.raises(KeyError, match="no array 'params/other'.*'x'"):
    import_state(STATE, VARIABLES, [Rule('x', 'params/other')])
