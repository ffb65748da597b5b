"""A trace of kernels put together by scope, from numbers made up here."""

import types

import pytest

from jaxdet.benchmark import kernel_profile

TEXT = '''
  %fusion.12 = bf16[8] fusion(%a), metadata={op_name="jit(step)/jvp(FPN)/output2/add" source_file="x"}
  ROOT %dot.3 = f32[8] dot(%a), metadata={op_name="jit(step)/transpose(jvp(FPN))/output2/dot"}
'''


def trace(*events, line='Stream #1', plane='/device:GPU:0'):
  events = [types.SimpleNamespace(name=name, duration_ns=ns, stats=list(stats.items())) for name, ns, stats in events]
  lines = [types.SimpleNamespace(name=line, events=events)]
  return types.SimpleNamespace(planes=[types.SimpleNamespace(name=plane, lines=lines)])


def test_kernels_of_streams_are_summed_by_operation_and_those_in_graphs_by_their_name():
  events = ('gemm', 5, {'hlo_op': 'dot.3'}), ('gemm', 7, {'hlo_op': 'dot.3'}), ('fusion_12', 4, {})
  assert kernel_profile.kernel_times(trace(*events)) == {('gemm', 'dot.3'): 12, ('fusion_12', 'fusion.12'): 4}
  assert not kernel_profile.kernel_times(trace(*events, line='XLA Modules'))
  assert not kernel_profile.kernel_times(trace(*events, plane='/host:CPU'))


def test_parts_are_the_scopes_of_operations_forward_and_backward():
  scopes = {m[1]: m[2] for line in TEXT.splitlines() if (m := kernel_profile.OPERATION.match(line))}
  times = {('gemm', 'dot.3'): 3.0, ('fusion_12', 'fusion.12'): 1.0, ('memcpy', ''): 0.5}
  found = kernel_profile.summary(times, scopes)
  assert found['parts'] == {
    'FPN': {'forward_ms': 1.0, 'backward_ms': 3.0},
    'all else': {'forward_ms': 0.5, 'backward_ms': 0.0},
  }
  assert [kernel['name'] for kernel in found['kernels']] == ['gemm', 'fusion_12', 'memcpy']
  assert found['busy_ms'] == pytest.approx(4.5)
