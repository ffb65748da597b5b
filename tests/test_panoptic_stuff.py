"""The script that makes semantic maps of COCO's panoptic annotations."""

import importlib.util
import json
import pathlib

import numpy as np
from PIL import Image

from jaxdet.annotations import panoptic

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'scripts' / 'panoptic_stuff.py'


def test_every_image_gets_a_map_of_its_name(tmp_path):
  spec = importlib.util.spec_from_file_location('panoptic_stuff', SCRIPT)
  script = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(script)
  (tmp_path / 'maps').mkdir()
  for name in ('1.png', '2.png'):
    panoptic.write_ids(str(tmp_path / 'maps' / name), np.array([[0, 300], [7, 300]]))
  segments = [{'id': 300, 'category_id': 92, 'area': 2, 'iscrowd': 0}, {'id': 7, 'category_id': 1, 'area': 1}]
  content = {
    'categories': [{'id': 1, 'name': 'person', 'isthing': 1}, {'id': 92, 'name': 'banner', 'isthing': 0}],
    'annotations': [{'image_id': k, 'file_name': f'{k}.png', 'segments_info': segments} for k in (1, 2)],
  }
  (tmp_path / 'panoptic.json').write_text(json.dumps(content))
  script.write_maps(str(tmp_path / 'panoptic.json'), str(tmp_path / 'maps'), str(tmp_path / 'stuff'))
  assert sorted(path.name for path in (tmp_path / 'stuff').iterdir()) == ['1.png', '2.png']
  np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'stuff' / '2.png')), [[255, 1], [0, 1]])
