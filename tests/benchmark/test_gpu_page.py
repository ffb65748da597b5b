"""The lines of a GPU's report as a part of a page."""

import json

from jaxdet.benchmark import gpu_page

COMMON = {
  'date': '2026-01-02',
  'command': 'python scripts/gpu_report.py --json x.json',
  'device': {'backend': 'gpu', 'kind': 'Abacus 9'},
  'versions': {'jax': '0.11.2', 'numpy': '2.5'},
}
PROFILE = {'parts': {'FPN': {'forward_ms': 2.0, 'backward_ms': 3.0}}, 'kernels': [], 'busy_ms': 5.0}
STEP = {'step_ms': 10.0, 'images_per_s': 800.0, 'compile_s': 46.2, 'temporaries_gib': 5.55, 'profile': PROFILE}
LINES = (
  {'line': 'peak', 'tflops': 809.4, 'copy_gb_per_s': 2652.7},
  {'line': 'train x.py 8', **STEP},
  {'line': 'torchvision train x.py 8', 'step_ms': 99.0, 'versions': {'torch': '2.11'}},
  {'line': 'torchvision train x.py 8', 'step_ms': 20.0, 'versions': {'torch': '2.11'}},
  {'line': 'predict x.py 1', 'error': 'ValueError: boom'},
  {'line': 'op RoIAlign gather', 'forward_ms': 3.0, 'both_ms': 8.0},
  {'line': 'op suppression', 'ms_by_block': {'64': 1.94, '256': 0.91}, 'block': 256},
  {'line': 'op top-k', 'ms': 0.5},
)


def test_a_page_has_the_tables_of_a_report(tmp_path):
  report, page = tmp_path / 'report.json', tmp_path / 'page.md'
  report.write_text('\n'.join(json.dumps({**COMMON, **line}) for line in LINES))
  page.write_text(f'before\n{gpu_page.BEGIN}\nold\n{gpu_page.END}\nafter\n')
  gpu_page.write_gpu_page(str(page), str(report))
  text = page.read_text()
  assert text.startswith('before\n') and text.endswith('\nafter\n') and 'old' not in text
  for expected in (
    'Abacus 9; jax 0.11.2, torch 2.11; 2026-01-02.',
    '```bash\npython scripts/gpu_report.py\n```',
    'reached 809 TFLOP/s and a copy 2.65 TB/s',
    '| train x.py 8 | 10.0 | 800.0 | 20.0 | 0.50 | 46 | 5.5 |',  # beside the last of two lines
    'train x.py 8, 5.0 of 10.0 ms in kernels',
    '| FPN | 2.0 | 3.0 |',
    '| RoIAlign gather | 3.00 forward, 8.00 with backward |',
    '| suppression | 1.94 in blocks of 64, 0.91 in blocks of 256 |',
    '| top-k | 0.50 |',
    'predict x.py 1 failed: `ValueError: boom`',
  ):
    assert expected in text
