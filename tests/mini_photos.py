"""A few photographs with their LVIS annotations, as a data folder of their own."""

import json
import pathlib

from ml_collections import ConfigDict

import parity_kit
from jaxdet.configuration import load_config

CONFIG = pathlib.Path(__file__).resolve().parents[1] / 'configs' / 'lvis_maskrcnn.py'


def make_folder(folder: pathlib.Path, train: int, val: int, without_objects: tuple[int, ...] = ()) -> pathlib.Path:
  """The first images of both splits; `without_objects`: positions in train that lose their annotations."""
  source = parity_kit.photos() / 'mini_lvis'
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'images').symlink_to(source / 'images')
  for split, count in (('train', train), ('val', val)):
    content = json.loads((source / f'{split}.json').read_text())
    content['images'] = content['images'][:count]
    emptied = {content['images'][i]['id'] for i in without_objects} if split == 'train' else set()
    ids = {image['id'] for image in content['images']} - emptied
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] in ids]
    (folder / f'{split}.json').write_text(json.dumps(content))
  return folder


def make_config(folder: pathlib.Path, **data) -> ConfigDict:
  """Small canvases, so that tests are quick; `data` replaces settings of config.data."""
  config = load_config(str(CONFIG)).unlock()
  config.data.dir = str(folder)
  config.data.canvases = ((128, 224), (224, 128))
  config.data.max_objects = 20
  config.data.mask_size = 32
  config.data.max_vertices = 64
  config.data.resize.sizes = (96, 112, 128)
  config.data.resize.test_size = 128
  config.data.resize.max_size = 213
  config.data.sampler.threshold = 0.3
  config.train.batch_size = 4
  config.eval.batch_size = 4
  for name, value in data.items():
    config.data[name] = value
  return config.lock()
