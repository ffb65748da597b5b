"""The table from upstream configs to jaxdet's."""

import pathlib

import pytest

from jaxdet.parity.upstream import Entry, find_config
from jaxdet.zoo import lines
from jaxdet.zoo.lines import Line, read_lines, read_zoo, select
from small_case import small_case

ROOT = pathlib.Path(__file__).resolve().parents[2]

TABLE = """program,upstream config,jaxdet config
# a comment

detectron2,COCO-Detection/small.yaml, configs/detectron2/faster_rcnn.py:backbone=r101,schedule=3x
mmdet,"mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py","configs/mmdet/mask_rcnn.py:backbone=r50,neck=c4"
detectron2, detectron2/configs/Misc/cascade.yaml, configs/detectron2/cascade_rcnn.py
disalign,DisAlign/lvis1.0/cos_norm.1x,configs/lvis_maskrcnn.py
detectron2,detectron2/small_agnostic,configs/detectron2/mask_rcnn.py:class_agnostic=true
"""


@pytest.fixture
def table(tmp_path):
  (tmp_path / 'zoo.csv').write_text(TABLE)
  return read_zoo([tmp_path / 'zoo.csv'])


@pytest.mark.parametrize(
  'upstream, config',
  [
    ('detectron2/configs/COCO-Detection/small.yaml', 'configs/detectron2/faster_rcnn.py:backbone=r101,schedule=3x'),
    ('COCO-Detection/small', 'configs/detectron2/faster_rcnn.py:backbone=r101,schedule=3x'),
    ('configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'configs/mmdet/mask_rcnn.py:backbone=r50,neck=c4'),
    ('Misc/cascade.yaml', 'configs/detectron2/cascade_rcnn.py'),
    ('lvis1.0/cos_norm.1x', 'configs/lvis_maskrcnn.py'),
  ],
)
def test_paths_are_found_with_and_without_their_folder_and_ending(table, upstream, config):
  assert find_config(table, small_case(config=upstream)) == Entry(config, is_case_specific=False)


def test_the_line_of_a_case_wins_over_that_of_its_config(table):
  case = small_case('detectron2/small_agnostic')
  assert find_config(table, case) == Entry('configs/detectron2/mask_rcnn.py:class_agnostic=true', is_case_specific=True)


def test_a_config_that_is_in_no_line_has_none(table):
  assert len(table) == 5
  assert find_config(table, small_case(config='COCO-Detection/large.yaml')) is None


def test_later_files_win(tmp_path):
  (tmp_path / 'a').write_text('mmdet,x.yaml,configs/a.py\nmmdet,y.yaml,configs/a.py')
  (tmp_path / 'b').write_text('mmdet,configs/y.yaml,configs/b.py:z')
  assert read_zoo([tmp_path / 'a', tmp_path / 'b']) == {'x': 'configs/a.py', 'y': 'configs/b.py:z'}


def test_a_line_says_whose_config_it_is(tmp_path):
  (tmp_path / 'zoo.csv').write_text('program,upstream config,jaxdet config\ndetic,x.yaml,configs/a.py:b=c,d=e\n')
  assert read_lines(tmp_path / 'zoo.csv') == [Line(2, 'detic', 'x', 'configs/a.py:b=c,d=e')]


@pytest.mark.parametrize(
  'line, error',
  [
    ('mmdet,y.yaml', "zoo.csv:2: 'mmdet,y.yaml' is no line: give program,upstream config,jaxdet config"),
    ('y.yaml,configs/b.py', "zoo.csv:2: 'y.yaml,configs/b.py' is no line"),
    ('mmdet,y.yaml,configs/b', "zoo.csv:2: 'configs/b' is no config"),
    ('mmdit,y.yaml,configs/b.py', "zoo.csv:2: unknown program 'mmdit': choose one of detectron2, mmdet"),
  ],
)
def test_a_broken_line_is_named(tmp_path, line, error):
  (tmp_path / 'zoo.csv').write_text(f'mmdet,x.yaml,configs/a.py\n{line}\n')
  with pytest.raises(ValueError, match=error):
    read_zoo([tmp_path / 'zoo.csv'])


MODELS = {
  'mmdet/rpn/small': Line(1, 'mmdet', 'rpn/small', 'configs/mmdet/rpn.py'),
  'mmdet/fcos/small': Line(2, 'mmdet', 'fcos/small', 'configs/mmdet/fcos.py:form=center'),
}


@pytest.mark.parametrize('pattern', ['mmdet/fcos/*', 'fcos/small', '*form=center*', '*f?os*'])
def test_patterns_match_names_and_configs(pattern):
  assert list(select(MODELS, [pattern])) == ['mmdet/fcos/small']


def test_without_patterns_all_are_chosen_and_several_add_up_in_order():
  assert list(select(MODELS, [])) == list(MODELS)
  assert list(select(MODELS, ['fcos/*', 'rpn/*'])) == list(MODELS)


def test_a_pattern_that_matches_nothing_names_the_nearest():
  with pytest.raises(ValueError, match=r"matches 'fcos/smal'; the nearest is 'fcos/small'"):
    select(MODELS, ['rpn/*', 'fcos/smal'])


def test_a_models_config_is_in_the_folder_of_its_program():
  for line in read_lines(ROOT / 'configs' / 'zoo.csv'):
    assert line.config.startswith(f'configs/{line.program}/'), line


def test_without_a_table_it_is_said_where_it_was_looked_for(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert lines.find_root() == ROOT  # beside the package
  monkeypatch.setattr(lines, 'CHECKOUT', tmp_path / 'installed')
  with pytest.raises(FileNotFoundError, match=f'no configs/zoo.csv in {tmp_path} or in {tmp_path}/installed'):
    lines.find_root()
