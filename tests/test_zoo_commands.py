"""The table of models: which there are, how large they are, what is published and recorded of them."""

import os
import pathlib
import subprocess
import sys

import pytest

from jaxdet import zoo_commands
from jaxdet.configuration import load_config
from jaxdet.zoo import model_table
from jaxdet.zoo.lines import Line, bare, read_lines
from jaxdet.zoo.model_size import Size, measure, num_classes
from jaxdet.zoo.model_table import Published, Row

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = str(ROOT / 'configs')


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
  zoo_commands.print_models(['mmdet/*'], output='models.md')
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
  monkeypatch.setattr(
    zoo_commands.model_size, 'measure', lambda config, flops: measured.append(config) or Size(1, None)
  )
  zoo_commands.print_models()
  assert len(measured) == 2


def test_flops_are_twice_the_multiplications_of_the_layers():
  config = load_config(f'{CONFIGS}/detectron2/rpn.py:backbone=r18')
  # Torchvision's ResNet-18 multiplies 1,814,073,344 times at 224 x 224, 512,000 of them in its classifier.
  cells = [200 * 336, 100 * 168, 50 * 84, 25 * 42]  # of 800 x 1344
  backbone = (1_814_073_344 - 512_000) * (800 * 1344) / 224**2
  pyramid = sum(n * (c * 256 + 9 * 256**2) for n, c in zip(cells, (64, 128, 256, 512), strict=True))
  head = (sum(cells) + 13 * 21) * (9 * 256**2 + 15 * 256)
  # XLA leaves out products with the padding of convolutions; norms, anchors and suppression come to them.
  assert measure(config).flops == pytest.approx(2 * (backbone + pyramid + head), rel=0.02)


@pytest.mark.parametrize(
  'config, count',
  [
    ('detectron2/mask_rcnn.py', 80),
    ('detectron2/faster_rcnn.py:dataset=voc', 20),
    ('detectron2/mask_rcnn.py:dataset=cityscapes', 8),
    ('detectron2/mask_rcnn.py:dataset=lvis_v1', 1203),
    ('disalign/mask_rcnn.py:dataset=lvis_v0.5', 1230),
    ('mmdet/mask_rcnn.py:dataset=deepfashion', 15),
  ],
)
def test_the_data_set_says_how_many_classes_there_are(config, count):
  assert num_classes(load_config(f'{CONFIGS}/{config}')) == count


def test_the_number_in_a_config_wins_and_an_unknown_data_set_is_named():
  config = load_config(f'{CONFIGS}/detectron2/mask_rcnn.py').unlock()
  config.data.dir = 'data/mine'
  with pytest.raises(ValueError, match="the data set 'mine/annotations/instances_train2017.json' has is not known"):
    num_classes(config)
  config.model.num_classes = 7
  assert num_classes(config) == 7


MODELS = {
  'mmdet/rpn/small': Line(1, 'mmdet', 'rpn/small', 'configs/mmdet/rpn.py'),
  'mmdet/fcos/small': Line(2, 'mmdet', 'fcos/small', 'configs/mmdet/fcos.py:form=center'),
}


@pytest.mark.parametrize('pattern', ['mmdet/fcos/*', 'fcos/small', '*form=center*', '*f?os*'])
def test_patterns_match_names_and_configs(pattern):
  assert list(zoo_commands.select(MODELS, [pattern])) == ['mmdet/fcos/small']


def test_without_patterns_all_are_chosen_and_several_add_up_in_order():
  assert list(zoo_commands.select(MODELS, [])) == list(MODELS)
  assert list(zoo_commands.select(MODELS, ['fcos/*', 'rpn/*'])) == list(MODELS)


def test_a_pattern_that_matches_nothing_names_the_nearest():
  with pytest.raises(ValueError, match=r"matches 'fcos/smal'; the nearest is 'fcos/small'"):
    zoo_commands.select(MODELS, ['rpn/*', 'fcos/smal'])


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
    zoo_commands.print_models(['mmdet/x'])


def test_a_line_of_published_accuracy_with_too_few_fields_is_named(tmp_path):
  (tmp_path / 'published.csv').write_text('# a comment\nx.py,mmdet,38.2\n')
  with pytest.raises(ValueError, match='published.csv:2: 3 fields'):
    model_table.read_published(tmp_path / 'published.csv')


def test_the_published_table_speaks_of_models_that_there_are():
  models = zoo_commands.read_models(ROOT)
  published = model_table.read_published(ROOT / 'configs' / 'published.csv')
  assert {f'{program}/{upstream}' for program, upstream in published} <= set(models)
  assert published['detectron2', 'COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x'] == Published('38.6', '35.2')
  assert published['mmdet', bare('rpn/rpn_r50_fpn_1x_coco.py')] == Published(other='AR1000=58.2')
  for values in published.values():
    numbers = [value for value in (values.box_ap, values.mask_ap, values.other.rpartition('=')[2]) if value]
    assert numbers and all(1 < float(number) < 100 for number in numbers)


def test_a_models_config_is_in_the_folder_of_its_program():
  for line in read_lines(ROOT / 'configs' / 'zoo.csv'):
    assert line.config.startswith(f'configs/{line.program}/'), line


def row(**kwargs) -> Row:
  given = {'program': 'mmdet', 'upstream': 'rpn/small', 'config': 'a.py', 'size': Size(1_230_000, 4.56e9)}
  return Row(**given | {'canvas': (800, 1344), 'published': Published('38.2'), 'parity': 'PASS'} | kwargs)


def test_the_page_groups_by_program_and_folder():
  rows = [row(), row(program='detectron2', upstream='COCO/b'), row(upstream='rpn/c', size=Size(1, None))]
  page = model_table.page(rows, 'python x.py', 'jax 1')
  assert '| small | `a.py` | 800 x 1344 | 1.23 M | 4.6 | 38.2 | - | PASS |\n| c |' in page
  assert page.index('## mmdetection\n\n### rpn\n') < page.index('## Detectron2\n\n### COCO\n')
  assert '| other |' not in page
  assert '| other | parity |' in model_table.page([row(published=Published(other='AR1000=58.2'))], '', '')


def test_columns_on_the_terminal_are_aligned():
  first, second = model_table.heading((20, 6)), model_table.line(row(), (20, 6))
  for column, value in (('parameters', '1.23 M'), ('GFLOPs', '4.6'), ('box AP', '38.2'), ('mask AP', '-')):
    assert first.index(column) + len(column) == second.index(value, 20) + len(value)
  assert first.index('parity') == second.index('PASS') and first.index('config') == second.index('a.py')


def test_without_a_table_it_is_said_where_it_was_looked_for(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert zoo_commands.find_root() == ROOT  # beside the package
  monkeypatch.setattr(zoo_commands, 'CHECKOUT', tmp_path / 'installed')
  with pytest.raises(FileNotFoundError, match=f'no configs/zoo.csv in {tmp_path} or in {tmp_path}/installed'):
    zoo_commands.find_root()


def test_the_command_line_prints_models(checkout):
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-m', 'jaxdet.main', 'zoo', 'mmdet/rpn/small_2x']
  done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1].startswith('mmdet/rpn/small_2x ')
