"""Records as tables and as the part of a page, and the file that keeps them."""

import json

import pytest

from benchmark_records import COMMON, jaxdet_record, stages_record, torchvision_record
from jaxdet.benchmark import page, records, tables


def test_a_ratio_is_of_seconds_so_that_less_than_one_is_faster():
  assert tables.ratio(jaxdet_record(seconds=2.0), torchvision_record(seconds=4.0)) == 0.5


def test_programs_stand_side_by_side_with_their_ratios():
  found = tables.program_tables(
    [
      jaxdet_record(),
      jaxdet_record(dtype='bfloat16', seconds=3.0),
      torchvision_record(),
      torchvision_record(mode='compile', error='no compiler'),
    ]
  )
  assert list(found) == ['training step']
  heading, *rows = found['training step']
  assert heading[-2:] == ['jaxdet float32 / this', 'jaxdet bfloat16 / this']
  assert rows == [
    ['jaxdet float32', '2 (0.12)', '1', '17.2', '0.5', '50.0%', '6.50 (process)', '4.25', '-', '-'],
    ['jaxdet bfloat16', '3 (0.12)', '0.667', '17.2', '0.333', '33.3%', '6.50 (process)', '4.25', '-', '-'],
    ['torchvision eager', '4 (0.5)', '0.5', '-', '-', '-', '5.75 (process)', '-', '0.50', '0.75'],
    ['torchvision compile', 'failed', '-', '-', '-', '-', '-', '-', '-', '-'],
  ]


def test_the_first_call_of_torch_counts_as_compilation_where_it_compiles():
  [table] = tables.program_tables([jaxdet_record(), torchvision_record(mode='amp+compile')]).values()
  assert table[2][3] == '5.0'


def test_memory_is_the_devices_where_it_counts():
  [table] = tables.program_tables(
    [jaxdet_record(memory_gib={'device': 11.5, 'compiler': 9.0, 'process': 2.0})]
  ).values()
  assert table[0] == ['', 's (spread)', 'images/s', 'compile, s', 'TFLOP/s', 'of peak', 'peak GiB', 'compiler GiB']
  assert table[1][-2:] == ['11.50', '9.00']


def test_steps_with_their_sum_beside_the_whole():
  found = tables.stage_tables([stages_record(), stages_record(error='out of memory')])
  assert found == {
    'training step, float32, step by step': [
      ['', 'forward, ms', 'backward, ms', 'both, ms', 'share'],
      ['backbone', '100.0', '200.0', '300.0', '60.0%'],
      ['proposals', '50.0', '-', '50.0', '10.0%'],
      ['all else', '50.0', '50.0', '100.0', '20.0%'],
      ['optimizer', '-', '-', '50.0', '10.0%'],
      ['sum', '200.0', '250.0', '500.0', '100.0%'],
      ['all but the optimizer, compiled as one', '190.0', '240.0', '430.0', '-'],
      ['the training step', '-', '-', '470.0', '-'],
    ]
  }


def test_steps_of_a_prediction_have_no_backward_pass():
  stages = [{'step': 'backbone', 'forward_s': 0.1, 'backward_s': None}]
  record = stages_record(task='predict', stages=stages, forward_s=0.2, backward_s=None, optimizer_s=None, step_s=None)
  assert tables.stage_tables([record])['prediction, float32, step by step'] == [
    ['', 'ms', 'share'],
    ['backbone', '100.0', '100.0%'],
    ['sum', '100.0', '100.0%'],
    ['the whole, compiled as one', '200.0', '-'],
  ]


def test_columns_are_aligned_for_a_terminal_and_barred_for_a_page():
  table = [['', 's'], ['a long name', '1'], ['b', '12.5']]
  assert tables.aligned(table) == '                s\na long name     1\nb            12.5'
  assert tables.markdown(table).splitlines()[:2] == ['|  | s |', '|---|---:|']


def test_a_page_keeps_what_is_outside_its_markers(tmp_path):
  file = tmp_path / 'benchmarks.md'
  file.write_text(f'# Before\n\n{page.BEGIN}\nold\n{page.END}\n\nAfter\n')
  other = {**jaxdet_record(), 'config': 'configs/a.py'}
  page.write_page(
    str(file),
    [
      jaxdet_record(),
      other,
      torchvision_record(),
      torchvision_record(mode='amp', error='boom', choices=['equal work']),
    ],
  )
  text = file.read_text()
  assert text.startswith(f'# Before\n\n{page.BEGIN}\n\n### configs/a.py: 2 images of 128 x 192, 13 objects each')
  assert text.endswith(f'\n\n{page.END}\n\nAfter\n') and 'old' not in text
  assert 'backend cpu; Abacus 9, 2 cores, 24 GiB; jax 0.10.2, torch 2.13.0; 2026-01-02.' in text
  assert '| jaxdet float32 | 2 (0.12) |' in text and 'torchvision amp failed: `boom`' in text
  assert '\n\n- equal work\n' in text
  page.write_page(str(file), [other])
  assert 'configs/x.py:mini' not in file.read_text()


def test_commands_on_a_page_do_not_speak_of_this_machines_files():
  assert page.command_of(COMMON) == 'python -m jaxdet.main bench --config x.py:mini --vs torchvision'


def test_a_page_without_a_place_for_tables_is_an_error(tmp_path):
  (tmp_path / 'x.md').write_text('nothing')
  with pytest.raises(ValueError, match='x.md has no place for the tables: put a line <!-- bench: begin -->'):
    page.write_page(str(tmp_path / 'x.md'), [jaxdet_record()])
  with pytest.raises(FileNotFoundError, match='there is no page'):
    page.write_page(str(tmp_path / 'y.md'), [])


def test_of_records_of_the_same_work_the_last_one_counts(tmp_path):
  file = str(tmp_path / 'records.json')
  first, second = jaxdet_record(seconds=9.0), jaxdet_record(seconds=2.0)
  for record in (first, torchvision_record(), second):
    records.append_record(file, record)
  assert records.read_records(file) == [json.loads(json.dumps(x)) for x in (second, torchvision_record())]


def test_records_that_cannot_be_read_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no file .*none.json: bench --config CONFIG --json'):
    records.read_records(str(tmp_path / 'none.json'))
  (tmp_path / 'bad.json').write_text(json.dumps(jaxdet_record()) + '\n{"kind":\n')
  with pytest.raises(ValueError, match='bad.json:2: no JSON'):
    records.read_records(str(tmp_path / 'bad.json'))


def test_the_surroundings_of_a_run():
  found = records.surroundings('python -m jaxdet.main bench')
  assert found['versions']['jax'] and found['machine']['cores'] >= 1 and found['machine']['processor']
