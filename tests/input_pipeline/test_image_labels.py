"""The classes that an image is known to hold."""

import json

import numpy as np
from PIL import Image

from input_pipeline import dataset
from jaxdet.configuration import load_config


def test_classes_of_objects_and_of_the_image(tmp_path):
  """Also those of crowds, and of objects that the annotations do not box."""
  box = {'bbox': [1, 1, 8, 8], 'area': 64}
  content = {
    'images': [
      {'id': 1, 'height': 20, 'width': 20, 'file_name': '1.png', 'pos_category_ids': [7, 3]},
      {'id': 2, 'height': 20, 'width': 20, 'file_name': '2.png'},
    ],
    'categories': [{'id': id, 'name': str(id)} for id in (3, 5, 7, 9)],
    'annotations': [
      {'id': 1, 'image_id': 1, 'category_id': 5, **box},
      {'id': 2, 'image_id': 2, 'category_id': 9, **box, 'iscrowd': 1},
      {'id': 3, 'image_id': 2, 'category_id': 9, **box},
    ],
  }
  for image in content['images']:
    Image.new('RGB', (20, 20)).save(tmp_path / image['file_name'])
  for split in ('train', 'val'):
    (tmp_path / f'{split}.json').write_text(json.dumps(content))
  config = load_config('configs/detectron2/faster_rcnn.py').unlock()
  config.data.update(dir=str(tmp_path), mask_size=0, max_vertices=0, max_objects=4, canvases=((32, 32),))
  config.data.resize.update(sizes=(20,), max_size=40, test_size=20)
  config.data.image_labels = True
  config.train.batch_size = 2
  batch = next(dataset.build(config).train_batches(0))
  found = dict(zip(batch.index.tolist(), batch.image_labels.tolist(), strict=True))
  assert found == {0: [True, True, True, False], 1: [False, False, False, True]}
  assert batch.objects.valid.sum() == 2 and batch.image_labels.dtype == np.bool_
