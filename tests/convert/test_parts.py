"""Rules of whole models from the names of their parts, and parts that a program has not."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxdet.convert import parts
from jaxdet.convert.layouts import CONV, FLIPPED_CONV, Layout, first_conv
from jaxdet.convert.names import Named, Names
from jaxdet.convert.parts import UnknownPart, part


def vgg(settings: ConfigDict, image: Layout) -> Names:
  """A backbone that is a list of layers."""
  position = {1: 0, 2: 2}
  return {
    'conv1': Named('features.0', image),
    'conv#': lambda i: f'features.{position[i]}',
  }


def ssd_head(settings: ConfigDict) -> Names:
  return {'logits#': lambda level: f'cls_convs.{level - 3}.0', 'boxes#': lambda level: f'reg_convs.{level - 3}.0'}


def box_head(settings: ConfigDict) -> Names:
  return {'logits': 'fc_cls'}


def table(settings: ConfigDict) -> dict[str, np.ndarray]:
  return {'project': np.arange(settings.largest + 1)}


ROLES = {
  'backbone': lambda model, _: part({'vgg': vgg}, model.backbone, first_conv(model.channel_order), prefix='backbone.'),
  'head': lambda model, _: part({'ssd': ssd_head}, model.head, prefix='bbox_head.', constants={'ssd': table}),
  'box_head': lambda model, stage: part({'fc': box_head}, model.box, prefix=f'roi_head.{stage}'),
}
MODEL = ConfigDict(
  {
    'channel_order': 'BGR',
    'backbone': {'name': 'vgg'},
    'head': {'name': 'ssd', 'largest': 2},
    'box': {'name': 'fc'},
  }
)


def shapes(*paths: str) -> dict:
  return {path: jax.ShapeDtypeStruct((3, 3, 4, 4) if path.endswith('kernel') else (4,), np.float32) for path in paths}


SSD = shapes(
  *(f'params/{module}/{array}' for module in ('head/boxes3', 'head/logits3') for array in ('bias', 'kernel')),
  *(f'params/backbone/{module}/kernel' for module in ('conv1', 'conv10', 'conv2')),
)


def rules(shapes: dict, roles=ROLES, model: ConfigDict = MODEL, needs: tuple[str, ...] = ()) -> dict:
  """Layouts by path and name."""
  found = parts.detector_rules('torchdet', roles, needs, model, shapes)
  return {(rule.path, rule.upstream): rule.layout for rule in found}


def test_every_array_is_named_by_its_part():
  held = {path: x for path, x in SSD.items() if 'conv10' not in path}
  found = rules(held)
  assert list(found) == [
    ('params/backbone/conv1/kernel', 'backbone.features.0.weight'),
    ('params/backbone/conv2/kernel', 'backbone.features.2.weight'),
    ('params/head/boxes3/kernel', 'bbox_head.reg_convs.0.0.weight'),
    ('params/head/boxes3/bias', 'bbox_head.reg_convs.0.0.bias'),
    ('params/head/logits3/kernel', 'bbox_head.cls_convs.0.0.weight'),
    ('params/head/logits3/bias', 'bbox_head.cls_convs.0.0.bias'),
  ]
  first, second, *_ = found.values()
  assert first is FLIPPED_CONV and second is CONV


def test_a_backbones_own_file_has_no_prefix():
  held = {path: x for path, x in SSD.items() if 'conv10' not in path}
  found = parts.backbone_rules('torchdet', ROLES, MODEL, held)
  assert [rule.upstream for rule in found] == ['features.0.weight', 'features.2.weight']


def test_networks_are_counted():
  found = rules(shapes('params/box_head/logits/bias'))
  assert list(found) == [('params/box_head/logits/bias', 'roi_head.fc_cls.bias')]
  found = rules(shapes('params/box_head0/logits/bias', 'params/box_head1/logits/bias'))
  assert [name for _, name in found] == ['roi_head.0.fc_cls.bias', 'roi_head.1.fc_cls.bias']


def test_constants_are_those_of_the_parts_that_are_there():
  assert parts.constants('torchdet', ROLES, MODEL, shapes('params/backbone/conv1/kernel')) == {}
  held = parts.constants('torchdet', ROLES, MODEL, shapes('params/head/logits3/bias'))
  assert {name: x.tolist() for name, x in held.items()} == {'bbox_head.project': [0, 1, 2]}


def test_what_losses_keep_needs_no_name():
  assert rules(shapes('batch_stats/loss/positives', 'batch_stats/class_loss2/counts')) == {}


def test_arrays_without_a_name_are_listed():
  held = shapes('params/head/logits3/bias', 'params/head/centerness/bias', 'batch_stats/loss/positives')
  found = parts.detector_rules('torchdet', ROLES, (), MODEL, held)
  assert parts.nameless(found, held) == ['params/head/centerness/bias']


def renamed(role: str) -> ConfigDict:
  return ConfigDict(MODEL.to_dict() | {role: {'name': 'other'}})


@pytest.mark.parametrize(
  'error, arguments',
  [
    (
      "torchdet has no names for the backbone 'other': choose a model that torchdet has",
      {'model': renamed('backbone')},
    ),
    ("torchdet has no names for the network 'head': choose", {'roles': {'backbone': ROLES['backbone']}}),
    ('torchdet has no detectors without a box_head: choose', {'needs': ('head', 'box_head')}),
  ],
)
def test_a_part_that_a_program_has_not(error, arguments):
  held = shapes('params/backbone/conv1/kernel', 'params/head/logits3/bias')
  with pytest.raises(UnknownPart, match=error) as raised:
    rules(held, **arguments)
  assert '\n' not in str(raised.value)


def test_two_arrays_never_share_a_name():
  roles = ROLES | {'box_head': lambda model, _: part({'fc': box_head}, model.box)}
  with pytest.raises(
    UnknownPart, match="has one name, 'fc_cls.bias', for params/box_head0/logits/bias and params/box_"
  ):
    rules(shapes('params/box_head0/logits/bias', 'params/box_head1/logits/bias'), roles)
