"""Query detectors' tables name every array of the model, and export names and shapes of upstream's own models."""

import fnmatch
import functools

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxdet.convert import frameworks
from jaxdet.convert.frameworks import FRAMEWORKS, count_classes, detector_rules, export, open_source
from jaxdet.convert.parts import UnknownPart
from jaxdet.convert.rules import import_state
from small_detector import CLASSES
from small_query import small_config
from upstream_case import load_case, model_config

PROGRAMS = {'detr': 'mmdet', 'plain': 'mmdet', 'two stages': 'mmdet', 'federated': 'detectron2'}
CASES = {  # of the kit: how many arrays have two or more names
  'mmdet/detr_r18': 0,
  'mmdet/detr_r50': 0,
  'mmdet/deformable_detr_r50': 40,
  'mmdet/deformable_detr_refine_r50': 0,
  'mmdet/deformable_detr_refine_twostage_r50': 0,
  'detic/BoxSup-DeformDETR_L_R50_4x': 56,
}
# What Detic's loss weighs classes by, which jaxdet takes from the annotations.
OF_THE_LOSS = 'criterion.fed_loss_weight'


@functools.cache
def model(variant: str):
  model = small_config(variant).copy_and_resolve_references().model
  model.num_classes = CLASSES
  return model


@functools.cache
def variables(variant: str) -> dict:
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), frameworks.shapes(model(variant)))


def table(variant: str):
  return detector_rules(PROGRAMS[variant], model(variant))


@pytest.mark.parametrize('variant', PROGRAMS)
def test_every_array_has_one_rule_and_further_names_are_marked_as_such(variant):
  rules = table(variant)
  first = [rule.path for rule in rules if not rule.copy]
  assert sorted(first) == sorted(flatten_dict(variables(variant), sep='/'))
  assert {rule.path for rule in rules if rule.copy} <= set(first)
  assert len({rule.upstream for rule in rules}) == len(rules)


@pytest.mark.parametrize('variant', PROGRAMS)
def test_what_is_exported_comes_back_bit_by_bit(variant):
  program = PROGRAMS[variant]
  state = export(program, variables(variant), model(variant))
  source = open_source(program, state, model(variant))
  assert not source.backbone_only
  again, report = import_state(source.state, frameworks.shapes(model(variant)), source.rules)
  report.check()
  jax.tree.map(np.testing.assert_array_equal, again, variables(variant))


@pytest.mark.parametrize(
  'variant, names, path',
  [
    ('plain', [f'bbox_head.cls_branches.{i}.bias' for i in range(2)], 'decoder/prediction/logits/bias'),
    ('plain', [f'bbox_head.reg_branches.{i}.4.bias' for i in range(2)], 'decoder/prediction/box2/bias'),
    (
      'federated',
      ['detr.transformer.decoder.class_embed.1.bias', 'detr.class_embed.1.bias'],
      'decoder/prediction1/logits/bias',
    ),
    (
      'federated',
      ['detr.transformer.decoder.bbox_embed.2.layers.0.bias', 'detr.bbox_embed.2.layers.0.bias'],
      'proposals/prediction/box0/bias',
    ),
  ],
)
def test_an_array_with_several_names_is_exported_under_each(variant, names, path):
  state = export(PROGRAMS[variant], variables(variant), model(variant))
  held = flatten_dict(variables(variant)['params'], sep='/')[path]
  for name in names:
    np.testing.assert_array_equal(state[name], held)


def test_attention_is_transposed_and_its_three_parts_stay_together():
  state = export('mmdet', variables('detr'), model('detr'))
  held = variables('detr')['params']['decoder']['layer1']['cross_attention']
  upstream = 'decoder.layers.1.cross_attn.attn'
  assert state[f'{upstream}.in_proj_weight'].shape == (3 * 32, 32)
  np.testing.assert_array_equal(state[f'{upstream}.in_proj_weight'].T, held['in_proj']['kernel'])
  np.testing.assert_array_equal(state[f'{upstream}.out_proj.weight'].T, held['out_proj']['kernel'])


def test_norms_have_the_numbers_of_the_program():
  """Detic's decoder has self attention first and calls the norm behind it the second."""
  for variant, upstream, numbers in (('federated', 'detr.transformer.decoder', '213'), ('plain', 'decoder', '012')):
    names = {rule.path: rule.upstream for rule in table(variant)}
    found = [names[f'params/decoder/layer1/norm{k}/scale'].removesuffix('.weight') for k in (1, 2, 3)]
    assert [name[-1] for name in found] == list(numbers)
    assert all(name.startswith(f'{upstream}.layers.1.norm') for name in found)


@pytest.mark.parametrize('variant', PROGRAMS)
def test_the_number_of_classes_is_seen_in_the_file(variant):
  state = export(PROGRAMS[variant], variables(variant), model(variant))
  undecided = model(variant).copy_and_resolve_references()
  undecided.num_classes = None
  assert count_classes(PROGRAMS[variant], state, undecided) == CLASSES


@pytest.mark.parametrize(
  'variant, program, error',
  [
    ('detr', 'detectron2', "detectron2 has no names for the decoder 'detr'"),
    ('detr', 'torchvision', 'torchvision has no detectors without a rpn_head'),
    ('plain', 'torchvision', 'torchvision has no detectors without a rpn_head'),
    ('plain', 'detectron2', "detectron2 has no such detector as this 'deformable_detr'"),
  ],
)
def test_a_program_without_such_detectors_refuses_them(variant, program, error):
  with pytest.raises(UnknownPart, match=error):
    export(program, variables(variant), model(variant))


@pytest.mark.parametrize('name', CASES)
def test_names_and_shapes_are_those_of_the_programs_own_models(name):
  """Every array of upstream's state dict, and no other but what its loss keeps."""
  case = load_case(name)
  program = 'mmdet' if name.startswith('mmdet') else 'detectron2'
  recorded = {tensor: tuple(shape) for tensor, shape, _ in case.meta['params']}
  config = model_config(case)
  config.num_classes = case.meta['num_classes']
  zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), frameworks.shapes(config))
  exported = {tensor: array.shape for tensor, array in export(program, zeros, config).items()}
  beside = recorded.keys() - exported.keys()
  assert beside <= {OF_THE_LOSS}
  assert all(any(fnmatch.fnmatch(tensor, pattern) for pattern in FRAMEWORKS[program].unused) for tensor in beside)
  assert exported == {tensor: shape for tensor, shape in recorded.items() if tensor not in beside}
  copies = {rule.upstream for rule in detector_rules(program, config) if rule.copy}
  assert copies == {tensor for tensor, _, kind in case.meta['params'] if kind.startswith('alias')}
  assert len(copies) == CASES[name]
