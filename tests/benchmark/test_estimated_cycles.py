"""What is read of a TPU compiler's estimates."""

import pytest

from jaxdet.benchmark.estimated_cycles import estimated_cycles, part_of


def operation(name, cycles):
  return (
    f'  %{name} = f32[8]{{0}} fusion(%a), metadata={{op_name="{name}"}}, '
    f'backend_config={{"window_config":{{}},"estimated_cycles":"{cycles}"}}'
  )


TEXT = f"""
%fixed_cond (p: (s32[], f32[8])) -> pred[] {{
  %limit = s32[]{{:T(128)}} constant(5)
  %k = s32[] get-tuple-element(%p), index=0
  ROOT %lt = pred[] compare(%k, %limit), direction=LT
}}

%open_cond (p: (s32[], s32[])) -> pred[] {{
  ROOT %lt = pred[] compare(%k, %n), direction=LT
}}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {{
{operation('jit(step)/jvp(Head)/while/body/dot', 100)}
}}

%cheap (p: f32[8]) -> f32[8] {{
{operation('jit(step)/jvp(Head)/cond/add', 3)}
}}

ENTRY %main (a: f32[8]) -> f32[8] {{
{operation('jit(step)/jvp(ResNet)/stem/conv', 10)}
{operation('jit(step)/transpose(jvp(ResNet))/stem/conv', 20)}
{operation('jit(step)/add', 1)}
{operation('jit(step)/jvp(ResNet)/nonsense', 2 * 10**18)}
  %w1 = (s32[], f32[8]) while(%t), condition=%fixed_cond, body=%body, metadata={{op_name="jit(step)/jvp(Head)/while"}}
  %w2 = (s32[], f32[8]) while(%t), condition=%open_cond, body=%body, metadata={{op_name="jit(step)/jvp(Head)/while"}}
  %c = f32[8] conditional(%i, %a, %a), branch_computations={{%cheap, %body}}, metadata={{op_name="jit(step)/cond"}}
}}
"""


def test_rounds_of_loops_and_the_costliest_branch_count():
  estimate = estimated_cycles(TEXT)
  assert dict(+estimate.forward) == {'ResNet': 10, 'Head': 5 * 100 + 100 + 100, 'all else': 1}
  assert dict(+estimate.backward) == {'ResNet': 20}
  assert dict(+estimate.open_loops) == {'Head': 1}
  assert estimate.total == 731


@pytest.mark.parametrize(
  'name, part',
  [
    ('jit(step)/jvp(FPN)/output2/add', ('FPN', False)),
    ('jit(step)/transpose(jvp(FPN))/output2/add', ('FPN', True)),
    ('jit(step)/jvp()/shard_map/vmap(proposals)/while/body/dot', ('proposals', False)),
    ('jit(step)/jvp()/roi_align/cond/branch_0_fun/mul', ('roi_align', False)),
    ('jit(step)/optimizer/mul', ('optimizer', False)),
    ('jit(step)/mul', ('all else', False)),
    ('', ('all else', False)),
  ],
)
def test_an_operation_belongs_to_its_outermost_scope(name, part):
  assert part_of(name) == part


def test_a_program_of_another_compiler_is_an_error():
  with pytest.raises(ValueError, match='only the TPU compiler'):
    estimated_cycles('ENTRY %main (a: f32[8]) -> f32[8] {\n}')
