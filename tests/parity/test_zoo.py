"""The table from upstream configs to jaxdet's."""

import pytest

from jaxdet.parity.zoo import Entry, find_config, read_zoo
from small_case import small_case

TABLE = """upstream,config
# a comment

COCO-Detection/small.yaml, configs/rcnn.py:upstream=detectron2,method=faster_rcnn
"mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py","configs/rcnn.py:upstream=mmdet,backbone=r50"
detectron2/configs/Misc/cascade.yaml\tconfigs/rcnn.py:method=cascade_rcnn
DisAlign/lvis1.0/cos_norm.1x configs/lvis_maskrcnn.py
detectron2/small_agnostic configs/rcnn.py:class_agnostic=true
"""


@pytest.fixture
def table(tmp_path):
  (tmp_path / 'zoo.csv').write_text(TABLE)
  return read_zoo([tmp_path / 'zoo.csv'])


@pytest.mark.parametrize(
  'upstream, config',
  [
    ('detectron2/configs/COCO-Detection/small.yaml', 'configs/rcnn.py:upstream=detectron2,method=faster_rcnn'),
    ('COCO-Detection/small', 'configs/rcnn.py:upstream=detectron2,method=faster_rcnn'),
    ('configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'configs/rcnn.py:upstream=mmdet,backbone=r50'),
    ('Misc/cascade.yaml', 'configs/rcnn.py:method=cascade_rcnn'),
    ('lvis1.0/cos_norm.1x', 'configs/lvis_maskrcnn.py'),
  ],
)
def test_paths_are_found_with_and_without_their_folder_and_ending(table, upstream, config):
  assert find_config(table, small_case(config=upstream)) == Entry(config, own=False)


def test_the_line_of_a_case_wins_over_that_of_its_config(table):
  case = small_case('detectron2/small_agnostic')
  assert find_config(table, case) == Entry('configs/rcnn.py:class_agnostic=true', own=True)


def test_a_config_that_is_in_no_line_has_none(table):
  assert len(table) == 5
  assert find_config(table, small_case(config='COCO-Detection/large.yaml')) is None


def test_later_files_win(tmp_path):
  (tmp_path / 'a').write_text('x.yaml configs/a.py\ny.yaml configs/a.py')
  (tmp_path / 'b').write_text('configs/y.yaml configs/b.py:z')
  assert read_zoo([tmp_path / 'a', tmp_path / 'b']) == {'x': 'configs/a.py', 'y': 'configs/b.py:z'}


def test_a_line_without_config_is_named(tmp_path):
  (tmp_path / 'zoo.csv').write_text('x.yaml configs/a.py\ny.yaml\n')
  with pytest.raises(ValueError, match='zoo.csv:2: no config'):
    read_zoo([tmp_path / 'zoo.csv'])
