"""What scripts/aot_tpu.py reads out of a compiled program's text."""

import pathlib
import runpy

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'scripts' / 'aot_tpu.py'
TEXT = """
ENTRY %main (a: f32[8]) -> f32[8] {
  %all-reduce.1 = (f32[8]{0:T(128)}, f32[2,4]{1,0}, f32[1], f32[1], f32[1], /*index=5*/bf16[4]{0}) all-reduce(%a, %b)
  %gathered = bf16[16,2]{1,0:T(8,128)} all-gather(%c), replica_groups=[2,2]<=[4], dimensions={0}
  %start = f32[3]{0} all-reduce-start(%d), to_apply=%add
  %done = f32[3]{0} all-reduce-done(%start)
  ROOT %fusion = f32[8]{0} fusion(%all-reduce.1), calls=%fused
}
"""


def test_exchanges_are_counted_with_the_bytes_that_they_make():
  found = runpy.run_path(str(SCRIPT))['collectives'](TEXT)
  assert found == {
    'all-reduce': {'count': 2, 'bytes': 4 * (8 + 8 + 1 + 1 + 1) + 2 * 4 + 4 * 3},
    'all-gather': {'count': 1, 'bytes': 2 * 32},
  }


def test_a_program_without_exchanges_has_none():
  assert runpy.run_path(str(SCRIPT))['collectives']('%x = f32[2] add(%all-reduce.1, %y)') == {}
