"""Import and export by rules, and what is said of a checkpoint that does not fit."""

import jax
import numpy as np
import pytest

from jaxdet.convert.layouts import CONV
from jaxdet.convert.rules import Rule, WrongShape, export_state, import_state

RNG = np.random.default_rng(0)


TABLE = [
  Rule('conv.weight', 'params/net/conv/kernel', CONV),
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


@pytest.mark.parametrize('value', [None, '3', [1, 2]])
def test_what_is_no_number_is_not_taken_for_one(value):
  scale = {'params': {'net': {'scale': jax.ShapeDtypeStruct((), np.float32)}}}
  variables, report = import_state({'scale': np.array(value, object)}, scale, [Rule('scale', 'params/net/scale')])
  assert report.loaded == () and len(report.wrong_shape) == 1


def test_an_array_without_a_rule_is_unset():
  _, report = import_state({'bn.running_var': np.ones(4)}, VARIABLES, TABLE[1:])
  assert report.unset == ('params/net/conv/kernel',) and report.missing == ()


def test_a_table_of_another_model_is_refused():
  with pytest.raises(KeyError, match="no array 'params/other'.*'x'"):
    import_state(STATE, VARIABLES, [Rule('x', 'params/other')])
