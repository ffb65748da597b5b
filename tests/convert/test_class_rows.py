"""Sorted classes change the order of a model's scores, boxes and masks by class, and nothing else."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from jaxdet.convert.class_rows import class_arrays, row_order, sorted_classes
from jaxdet.models.dense_heads.ssd_head import SSDHead
from jaxdet.models.dense_heads.two_tower_head import TwoTowerHead
from jaxdet.models.roi_heads.conv_fc_box_head import ConvFCBoxHead

ORDER = [2, 0, 3, 1]  # the old class of each class
CLASSES = len(ORDER)
FEATURES = {4: np.random.default_rng(0).normal(size=(1, 2, 3, 8)).astype(np.float32)}
ROIS = np.random.default_rng(1).normal(size=(1, 5, 2, 2, 8)).astype(np.float32)


def before_and_after(network, counts: dict[str, int], inputs, *more):
  """Outputs of a network with random weights, and with sorted classes; `counts` by the end of the path."""
  variables = jax.device_get(network.init(jax.random.key(0), inputs, *more))
  noise = np.random.default_rng(2)
  variables = jax.tree.map(lambda x: noise.normal(size=x.shape).astype(np.float32), variables)
  named = {'params': {'network': variables['params']}}
  paths = {f'params/network/{layer}/{array}': n for layer, n in counts.items() for array in ('kernel', 'bias')}
  new = sorted_classes(named, ORDER, paths)
  changed = {'params': new['params']['network']}
  return network.apply(variables, inputs, *more), network.apply(changed, inputs, *more)


@pytest.mark.parametrize('extra', [1, 2], ids=['background', 'seesaw'])
def test_a_box_head(extra):
  head = ConvFCBoxHead(CLASSES, CLASSES + extra, 0, 8, '', 1, 8, class_agnostic=False)
  (logits, boxes), (new_logits, new_boxes) = before_and_after(head, {'logits': 1, 'deltas': 4}, ROIS)
  np.testing.assert_allclose(new_logits[..., :CLASSES], logits[..., ORDER], rtol=1e-5)
  np.testing.assert_allclose(new_logits[..., CLASSES:], logits[..., CLASSES:], rtol=1e-5)
  np.testing.assert_allclose(new_boxes, boxes[:, :, ORDER], rtol=1e-5)


def test_a_dense_head_has_the_classes_of_each_anchor():
  head = TwoTowerHead(num_classes=CLASSES, num_anchors=3, box_channels=4, num_convs=0, channels=8, norm='')
  old, new = before_and_after(head, {'logits': 3}, FEATURES)
  assert old['logits'][4].shape[-2:] == (3, CLASSES)
  np.testing.assert_allclose(new['logits'][4], old['logits'][4][..., ORDER], rtol=1e-5)
  np.testing.assert_array_equal(new['box_regression'][4], old['box_regression'][4])


def test_ssd_has_a_background_of_each_anchor():
  head = SSDHead(num_classes=CLASSES, num_anchors=(4,), box_channels=4)  # four anchors: no four coordinates
  old, new = before_and_after(head, {'logits4': 4}, FEATURES)
  np.testing.assert_allclose(new['logits'][4], old['logits'][4][..., [*ORDER, CLASSES]], rtol=1e-5)


def test_yolacts_semantic_layer_counts_from_the_second_class():
  rows = row_order('params/mask_branch/semantic/kernel', CLASSES, ORDER, 1)
  for label, old in enumerate(ORDER):
    assert rows[(label - 1) % CLASSES] == (old - 1) % CLASSES  # as in losses/prototype_masks.py


def model(name: str) -> ConfigDict:
  model = ConfigDict(load_config(name).model.to_dict())
  model.num_classes = CLASSES
  return model


@pytest.mark.parametrize(
  'name, layers',
  [
    ('configs/lvis_maskrcnn.py:mini', {'box_head/logits': 1, 'box_head/deltas': 4, 'mask_head/logits': 1}),
    ('configs/detectron2/retinanet.py', {'head/logits': 9}),
    ('configs/mmdet/fcos.py', {'head/logits': 1}),
    ('configs/detectron2/rpn.py', {}),
  ],
)
def test_arrays_with_classes_are_found_by_their_size(name, layers):
  expected = {f'params/{layer}/{array}': count for layer, count in layers.items() for array in ('kernel', 'bias')}
  assert class_arrays(model(name)) == expected


def test_counts_of_classes_in_a_config_are_no_obstacle():
  counted = model('configs/lvis_maskrcnn.py:mini')
  with counted.class_counts.ignore_type():
    counted.class_counts.update(images=(1,) * CLASSES, instances=(2,) * CLASSES, num_images=9)
  assert class_arrays(counted).keys() == class_arrays(model('configs/lvis_maskrcnn.py:mini')).keys()


def test_other_arrays_and_the_argument_stay():
  variables = {'params': {'a': {'x': np.arange(4.0)}, 'b': {'x': np.arange(4.0)}}, 'constants': {}}
  new = sorted_classes(variables, ORDER, {'params/a/x': 1})
  assert flatten_dict(new, sep='/')['params/a/x'].tolist() == ORDER
  assert new['params']['b']['x'].tolist() == variables['params']['a']['x'].tolist() == [0, 1, 2, 3]
  assert new['constants'] == {}
