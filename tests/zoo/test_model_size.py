"""How large models are: classes of their data sets, operations by hand."""

import pathlib

import pytest

from jaxdet.configuration import load_config
from jaxdet.zoo.model_size import measure, num_classes

CONFIGS = str(pathlib.Path(__file__).resolve().parents[2] / 'configs')


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
