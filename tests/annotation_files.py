"""Small annotation files and images for tests."""

import copy
import json
import pathlib

import numpy as np
from PIL import Image

LVIS = {
  'info': {},
  'licenses': [],
  'images': [
    {
      'id': 70,
      'height': 20,
      'width': 30,
      'coco_url': 'http://images.cocodataset.org/val2017/000000000070.jpg',
      'neg_category_ids': [9],
      'not_exhaustive_category_ids': [],
    },
    {
      'id': 50,
      'height': 40,
      'width': 25,
      'coco_url': 'http://images.cocodataset.org/train2017/000000000050.jpg',
      'neg_category_ids': [],
      'not_exhaustive_category_ids': [4, 2],
    },
    {
      'id': 60,
      'height': 10,
      'width': 10,
      'coco_url': 'http://images.cocodataset.org/train2017/000000000060.jpg',
      'neg_category_ids': [2, 4, 9],
      'not_exhaustive_category_ids': [],
    },
  ],
  'annotations': [
    {
      'id': 1,
      'image_id': 50,
      'category_id': 4,
      'bbox': [1, 2, 10, 20.5],
      'area': 150.25,
      'segmentation': [[1, 2, 11, 2, 11, 22.5], [1, 2, 5, 8, 1, 8.5, 1, 4]],
    },
    {
      'id': 2,
      'image_id': 70,
      'category_id': 9,
      'bbox': [0.5, 0.5, 4, 4],
      'area': 16,
      'segmentation': [[0.5, 0.5, 4.5, 0.5, 4.5, 4.5, 0.5, 4.5]],
    },
    {
      'id': 3,
      'image_id': 50,
      'category_id': 2,
      'bbox': [3, 3, 2, 2],
      'area': 2,
      'segmentation': [[3, 3, 5, 3, 5, 5]],
    },
  ],
  'categories': [
    {'id': 9, 'name': 'zebra', 'frequency': 'f', 'image_count': 500},
    {'id': 2, 'name': 'ant', 'frequency': 'r', 'image_count': 3},
    {'id': 4, 'name': 'cow', 'frequency': 'c', 'image_count': 12},
  ],
}


def lvis() -> dict:
  """A file of three images, two of them with objects, to be changed freely."""
  return copy.deepcopy(LVIS)


def write(folder: pathlib.Path, content: dict, name: str = 'train.json') -> str:
  path = folder / name
  path.write_text(json.dumps(content))
  return str(path)


def write_images(folder: pathlib.Path, content: dict) -> pathlib.Path:
  """A noisy JPEG for each image, below `folder`/images; that root."""
  for image in content['images']:
    path = folder / 'images' / '/'.join(image['coco_url'].split('/')[-2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(image['id'])
    pixels = rng.integers(0, 255, (image['height'], image['width'], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
  return folder
