"""Bytes that kernels move, read from the text of a compiled program."""

import pytest

from jaxdet.benchmark.moved_bytes import moved_bytes


def program(*entry: str, fused: tuple[str, ...] = (), more: str = '') -> str:
  head = '%fused_computation (p0: f32[100,4], p1: f32[5,4]) -> f32[5,4] {'
  fusion = '\n'.join([head, *(f'  {line}' for line in fused), '}'])
  return '\n'.join([fusion, more, 'ENTRY %main (a: f32[100,4]) -> f32[5,4] {', *(f'  {line}' for line in entry), '}'])


def named(scope: str) -> str:
  return f', metadata={{op_name="jit(step)/{scope}/add"}}'


A, B = '%a = f32[100,4]{1,0} parameter(0)', '%b = f32[5,4]{1,0} parameter(1)'
FUSION = '%f = f32[5,4]{1,0} fusion(%a, %b), kind=kLoop, calls=%fused_computation' + named('jvp(FPN)')
P0, P1 = '%p0 = f32[100,4]{1,0} parameter(0)', '%p1 = f32[5,4]{1,0} parameter(1)'
ZERO = '%zero = s32[] constant(0)'


def test_a_kernel_reads_its_operands_and_writes_its_result():
  text = program(A, f'%c = bf16[100,4]{{1,0}} copy(%a){named("transpose(jvp(FPN))")}')
  moved = moved_bytes(text)
  assert dict(moved.backward) == {'FPN': 400 * (4 + 2)} and not moved.forward
  assert moved.kernels == {('c', 'jit(step)/transpose(jvp(FPN))/add'): 2400}


def test_of_what_a_fusion_slices_only_the_slice_is_read():
  sliced = '%s = f32[5,4]{1,0} dynamic-slice(%p0, %zero, %zero), dynamic_slice_sizes={5,4}'
  root = 'ROOT %sum = f32[5,4]{1,0} add(%s, %p1)'
  assert moved_bytes(program(A, B, FUSION, fused=(P0, P1, ZERO, sliced, root))).total == 3 * 80
  # The same where something is done to every element before.
  doubled = '%d = f32[100,4]{1,0} add(%p0, %p0)'
  sliced = '%s = f32[5,4]{1,0} slice(%d), slice={[0:5], [0:4]}'
  assert moved_bytes(program(A, B, FUSION, fused=(P0, P1, doubled, sliced, root))).total == 80 + 80 + 2 * 80


def test_what_is_updated_in_place_counts_as_much_as_the_update():
  root = 'ROOT %u = f32[100,4]{1,0} dynamic-update-slice(%p0, %p1, %zero, %zero)'
  assert moved_bytes(program(A, B, FUSION, fused=(P0, P1, ZERO, root))).total == 2 * 80
  indices = '%i = s32[5,1]{1,0} constant({...})'
  root = 'ROOT %u = f32[100,4]{1,0} scatter(%p0, %i, %p1), update_window_dims={1}, to_apply=%add'
  assert moved_bytes(program(A, B, FUSION, fused=(P0, P1, indices, root))).total == 3 * 80
  assert moved_bytes(program(A, B, '%u = f32[100,4]{1,0} dynamic-update-slice(%a, %b, %z)')).total == 2 * 80


def test_rounds_of_loops_and_the_costliest_branch_count():
  more = '\n'.join(
    [
      '%body (p: f32[5,4]) -> f32[5,4] {',
      f'  %x = f32[5,4]{{1,0}} copy(%p){named("jvp(Head)")}',
      '}',
      '%cheap (p: f32[]) -> f32[] {',
      f'  %y = f32[]{{}} copy(%p){named("jvp(Head)")}',
      '}',
    ]
  )
  loop = '%w = (f32[5,4]) while(%t), condition=%c, body=%body' + named('jvp(Head)')
  known = loop + ', backend_config={"known_trip_count":{"n":"3"}}'
  branches = '%k = f32[5,4] conditional(%i, %a, %b), branch_computations={%cheap, %body}' + named('jvp(Head)')
  moved = moved_bytes(program(A, B, known, loop, branches, more=more))
  assert dict(moved.forward) == {'Head': (3 + 1 + 1) * 80}
  assert dict(+moved.open_loops) == {'Head': 1}


def test_kernels_that_run_beside_others_count_once():
  lines = '%async (p: f32[5,4]) -> f32[5,4] {', '  %p = f32[5,4] parameter(0)', '  %x = f32[5,4] copy(%p)', '}'
  more = '\n'.join(lines)
  start = '%s = ((f32[5,4]), f32[5,4]) copy-start(%b), calls=%async'
  assert moved_bytes(program(A, B, start, '%d = f32[5,4] copy-done(%s)', more=more)).total == 2 * 80


@pytest.mark.parametrize('operation', ['bitcast', 'get-tuple-element', 'tuple'])
def test_names_move_nothing(operation):
  assert moved_bytes(program(A, f'%n = f32[400]{{0}} {operation}(%a)')).total == 0
