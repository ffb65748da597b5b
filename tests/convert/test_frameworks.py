"""What each program's files hold, and that what goes out is what the program's own model has."""

import functools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from jaxdet.convert import frameworks, report
from jaxdet.convert.frameworks import backbone_rules, count_classes, detector_rules, export, open_source
from jaxdet.convert.parts import UnknownPart
from jaxdet.convert.rules import import_state
from small_detector import CLASSES, CONFIG, small_config
from upstream_case import UpstreamCase, load_case, model_config

PROGRAMS = ('detectron2', 'mmdet', 'cvpods')
# The first name of a backbone in a detector, and in a file of its own.
PREFIXES = {'detectron2': 'backbone.bottom_up.', 'cvpods': 'backbone.bottom_up.', 'mmdet': 'backbone.'}


def model(norm: str = 'gn') -> ConfigDict:
  model = ConfigDict(small_config().model.to_dict())
  model.num_classes = CLASSES
  model.backbone.norm = norm
  return model


@functools.cache
def variables(norm: str = 'gn') -> dict:
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), frameworks.shapes(model(norm)))


@pytest.mark.parametrize('norm', ['gn', 'frozen_bn', 'sync_bn'])
@pytest.mark.parametrize('program', [*PROGRAMS, 'jaxdet'])
def test_what_goes_out_comes_back_bit_by_bit(program, norm):
  state = export(program, variables(norm), model(norm))
  source = open_source(program, state, model(norm))
  assert not source.backbone_only
  again, result = import_state(source.state, frameworks.shapes(model(norm)), source.rules)
  result.check()
  jax.tree.map(np.testing.assert_array_equal, again, variables(norm))


@pytest.mark.parametrize(
  'program, norm, counted',
  [
    ('mmdet', 'frozen_bn', True),
    ('mmdet', 'sync_bn', True),
    ('mmdet', 'gn', False),
    ('detectron2', 'frozen_bn', False),
    ('detectron2', 'bn_eval', True),
    ('detectron2', 'sync_bn', True),
  ],
)
def test_batch_norms_count_batches_where_the_programs_do(program, norm, counted):
  state = export(program, variables(norm), model(norm))
  counts = {name for name in state if name.endswith('.num_batches_tracked')}
  means = {name for name in state if name.endswith('.running_mean')}
  assert counts == {name.replace('running_mean', 'num_batches_tracked') for name in means if counted}
  assert all(state[name].shape == () and state[name].dtype == np.int64 for name in counts)


@pytest.mark.parametrize('program', PROGRAMS)
def test_a_backbone_is_known_with_and_without_its_prefix(program):
  state = export(program, variables(), model())
  prefixed = {name: array for name, array in state.items() if _is_backbone(program, name)}
  bare = {name.removeprefix(PREFIXES[program]): array for name, array in prefixed.items()}
  for held in (prefixed, bare):
    source = open_source(program, held, model())
    assert source.backbone_only
    loaded, result = import_state(source.state, frameworks.shapes(model()), source.rules)
    assert len(result.loaded) == len(prefixed) and not result.missing + result.unused
    jax.tree.map(np.testing.assert_array_equal, loaded['params']['backbone'], variables()['params']['backbone'])


def _is_backbone(program: str, name: str) -> bool:
  return name.startswith(PREFIXES[program]) and 'fpn' not in name


@pytest.mark.parametrize('program', ['torchvision', 'timm'])
def test_a_resnet_by_torchvisions_names(program):
  state = {rule.upstream: np.ones(1) for rule in backbone_rules('timm', model())}
  assert 'layer1.0.conv1.weight' in state
  source = open_source(program, state | {'fc.weight': np.ones(1)}, model())
  assert source.backbone_only and source.unused == ('fc.*',)
  assert {rule.upstream for rule in source.rules} == set(state)


def test_a_detector_of_an_old_torchvision():
  config = model('frozen_bn')
  state = {rule.upstream: np.ones(1) for rule in detector_rules('torchvision', config)}
  renamed = {name.replace('.conv.0.0.', '.conv.').replace('mask_head.0.0.', 'mask_head.mask_fcn1.') for name in state}
  renamed = {name.replace('blocks.0.0.', 'blocks.0.') for name in renamed}
  assert len(renamed - state.keys()) == 8
  source = open_source('torchvision', dict.fromkeys(renamed, np.ones(1)), config)
  assert source.state.keys() == state.keys() and not source.backbone_only


def test_a_file_of_another_program_is_not_taken_for_a_backbone():
  state = export('mmdet', variables(), model())
  assert not open_source('detectron2', state, model()).backbone_only


def test_a_detector_without_some_heads_is_a_detector():
  state = {name: x for name, x in export('mmdet', variables(), model()).items() if 'roi_head' not in name}
  assert not open_source('mmdet', state, model()).backbone_only


@pytest.mark.parametrize('program', [*PROGRAMS, 'jaxdet'])
def test_the_number_of_classes_is_seen_in_the_file(program):
  state = export(program, variables(), model())
  undecided = model()
  undecided.num_classes = None
  assert count_classes(program, state, undecided) == CLASSES
  assert count_classes(program, {k: v for k, v in state.items() if 'backbone' in k}, undecided) is None


def c4_model() -> ConfigDict:
  """Faster R-CNN with the backbone's last stage on every region."""
  config = load_config(f'{CONFIG.parent}/detectron2/faster_rcnn.py:neck=c4').model
  return ConfigDict(config.to_dict() | {'num_classes': CLASSES})


@pytest.mark.parametrize('program, last_stage', [('detectron2', 'res5.'), ('mmdet', 'layer4.'), ('timm', 'layer4.')])
def test_a_backbones_last_stage_may_be_the_shared_head(program, last_stage):
  """ImageNet weights have it among the others, a C4 detector on its regions."""
  rules = backbone_rules(program, c4_model())
  last = [rule for rule in rules if rule.upstream.startswith(last_stage)]
  assert len(last) == 3 * 5 * 3 + 5
  assert all(rule.path.split('/')[1:3] == ['shared_head', 'stage5'] for rule in last)
  assert open_source(program, {rule.upstream: np.ones(1) for rule in rules}, c4_model()).backbone_only


@pytest.mark.parametrize('order', ['RGB', 'BGR'])
@pytest.mark.parametrize(
  'program, name, flipped',
  [
    ('timm', 'conv1.weight', {'RGB': False, 'BGR': False}),
    ('torchvision', 'conv1.weight', {'RGB': False, 'BGR': False}),
    ('detectron2', 'conv1_w', {'RGB': True, 'BGR': True}),
    ('detectron2', 'stem.conv1.weight', {'RGB': False, 'BGR': True}),
  ],
)
def test_the_first_convolution_is_turned_to_rgb(program, name, flipped, order):
  """timm's and torchvision's weights are for RGB and Caffe2's for BGR, whatever the config says of its own."""
  config = model()
  config.channel_order = order
  weight = np.random.default_rng(0).normal(size=(8, 3, 7, 7)).astype(np.float32)
  source = open_source(program, {name: weight}, config)
  loaded, _ = import_state(source.state, frameworks.shapes(config), source.rules)
  expected = (weight[:, ::-1] if flipped[order] else weight).transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(loaded['params']['backbone']['stem']['conv']['kernel'], expected)


def test_a_detector_that_a_program_has_not_is_refused():
  with pytest.raises(UnknownPart, match='torchvision has no detectors without a neck: choose another model'):
    export('torchvision', {}, c4_model())
  config = model()
  config.neck.norm = 'gn'
  with pytest.raises(
    UnknownPart, match="no such detector as this 'two_stage': it has no name for params/neck/lateral2_norm"
  ):
    export('torchvision', {}, config)


def test_an_array_without_a_name_is_left_to_the_report():
  config = model()
  config.roi.box_head.calibration = 'lws'
  state = export('mmdet', variables(), model())
  source = open_source('mmdet', state, config)
  _, result = import_state(state, frameworks.shapes(config), source.rules)
  assert report.problems(result, source) == {'without a rule': ['params/box_head/calibration/scale']}


def test_variables_of_another_model_are_not_exported():
  with pytest.raises(ValueError, match='not those of config.model: they differ in batch_stats/extra'):
    export('mmdet', variables('gn') | {'batch_stats': {'extra': np.zeros(1)}}, model('gn'))


def test_timm_has_no_detectors():
  with pytest.raises(UnknownPart, match='timm has no detectors'):
    export('timm', variables(), model())


CASES = {
  'detectron2/mask_rcnn_R_50_FPN_1x': {'norm': 'frozen_bn', 'style': 'caffe'},
  'mmdet/mask_rcnn_r50_fpn': {'norm': 'bn_eval'},
}


@pytest.mark.parametrize('name', CASES)
def test_names_and_shapes_are_those_of_the_programs_own_models(name):
  """Every array of upstream's state dict, its counters too, and no other: what `strict=True` asks."""
  case: UpstreamCase = load_case(name)
  config = model_config(case, **CASES[name])
  zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), frameworks.shapes(config))
  exported = export(name.partition('/')[0], zeros, config)
  assert {tensor: list(array.shape) for tensor, array in exported.items()} == {
    tensor: shape for tensor, shape, _ in case.meta['params']
  }
