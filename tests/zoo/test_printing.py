"""The table of models as it is printed: which there are, how large they are, what is recorded of them."""

import os
import pathlib
import subprocess
import sys

import pytest

from jaxdet.zoo import model_size
from jaxdet.zoo.model_size import Size
from jaxdet.zoo.printing import print_models

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
  """A folder with a table of two small models beside the project's configs, and a page of recorded runs."""
  (tmp_path / 'configs').mkdir()
  for name in ('mmdet', 'detectron2', 'lvis_maskrcnn.py'):
    (tmp_path / 'configs' / name).symlink_to(ROOT / 'configs' / name)
  (tmp_path / 'configs' / 'zoo.csv').write_text(
    'program,upstream config,jaxdet config\n'
    'mmdet,rpn/small_1x.py,configs/mmdet/rpn.py:backbone=r18\n'
    'mmdet,rpn/small_2x.py,configs/mmdet/rpn.py:backbone=r18,schedule=2x\n'
    'detectron2,Tiny/rpn.yaml,configs/lvis_maskrcnn.py:mini\n'
  )
  (tmp_path / 'configs' / 'published.csv').write_text('rpn/small_2x.py,mmdet,,,AR1000=50.5\n')
  (tmp_path / 'docs').mkdir()
  (tmp_path / 'docs' / 'parity.md').write_text(
    '## mmdetection\n\n| small | `configs/mmdet/rpn.py:backbone=r18` | 1e-06 | 3/3 | PASS |\n'
  )
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_small_models_have_the_parameters_of_their_layers(checkout, capsys):
  print_models(['mmdet/*'], output='models.md')
  # ResNet-18 without its classifier has 11,176,512. The pyramid's laterals have (128 + 256 + 512 + 64) x 256 weights,
  # its outputs 4 x 9 x 256^2, both 256 biases a convolution; the head 9 x 256^2 + 256, and 257 for each of 3 x 5.
  parameters = 11_176_512 + 960 * 256 + 36 * 256**2 + 8 * 256 + 9 * 256**2 + 256 + 15 * 257
  first, second = capsys.readouterr().out.splitlines()[1:]
  assert f' {parameters / 1e6:.2f} M ' in first and '  PASS    configs/' in first
  assert f' {parameters / 1e6:.2f} M ' in second and 'AR1000=50.5' in second and '  -       configs/' in second
  page = (checkout / 'models.md').read_text()
  assert "python -m jaxdet.main zoo 'mmdet/*' --output models.md" in page
  assert '## mmdetection\n\n### rpn\n' in page and '| small_1x | `configs/mmdet/rpn.py:' in page


def test_models_that_are_equal_are_measured_once(checkout, monkeypatch):
  measured = []
  monkeypatch.setattr(model_size, 'measure', lambda config, flops: measured.append(config) or Size(1, None))
  print_models()
  assert len(measured) == 2


@pytest.mark.parametrize(
  'line, error',
  [
    ('mmdet,x.py,configs/mmdet/rpn.py:neck=c5', "zoo.csv:5: .*neck=c5: unknown neck 'c5'"),
    ('mmdet,x.py,configs/mmdet/rpm.py', r'zoo.csv:5: configs/mmdet/rpm.py: .*No such file'),
    ('mmdet,x.py,configs/mmdet/rpn', "zoo.csv:5: 'configs/mmdet/rpn' is no config"),
    ('mmdet,x.py', "zoo.csv:5: 'mmdet,x.py' is no line"),
  ],
)
def test_a_broken_line_is_named(checkout, line, error):
  with (checkout / 'configs' / 'zoo.csv').open('a') as f:
    f.write(f'{line}\n')
  with pytest.raises(ValueError, match=error):
    print_models(['mmdet/x'])


def test_the_command_line_prints_models(checkout):
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-m', 'jaxdet.main', 'zoo', 'mmdet/rpn/small_2x']
  done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1].startswith('mmdet/rpn/small_2x ')
