"""Every model of the zoo has, in its program, one name for every array, and no name twice."""

import pathlib

import pytest
from ml_collections import ConfigDict

from jaxdet.configuration import load_config
from jaxdet.convert import frameworks, parts
from jaxdet.zoo.lines import read_lines

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = {'detectron2': 'detectron2', 'detic': 'detectron2', 'disalign': 'cvpods', 'mmdet': 'mmdet'}  # by program
# Settings on which no name depends.
OF_NO_NAME = {
  'model': ('test', 'pixel_mean', 'pixel_std', 'channel_order', 'class_counts', 'match', 'loss_weights', 'frozen'),
  'backbone': ('style', 'groups', 'group_width', 'dilate_last'),
  'proposals': (
    'channels',
    'anchors',
    'coder',
    'clip_border',
    'matcher',
    'border',
    'loss',
    'train_proposals',
    'test_proposals',
  ),
  'roi': ('coder', 'clip_border', 'loss', 'matcher', 'sampler', 'cascade'),
  'head': ('anchors', 'loss', 'box_loss', 'class_loss', 'matcher', 'centre', 'ranges'),
}


def named_alike(model: ConfigDict) -> str:
  """A text that models share if they differ in settings on which no name depends."""
  settings = model.to_dict()
  for part, keys in OF_NO_NAME.items():
    own = settings if part == 'model' else settings.get(part, {})
    for key in keys:
      own.pop(key, None)
  return str(settings)


def distinct() -> dict[str, tuple[str, ConfigDict]]:
  """Program and model of one line for all that are named alike, by the line's config.

  A ResNet of bottlenecks has 50 layers, or where a line before has its settings 18: shapes are found sooner.
  """
  found, seen, backbones = {}, set(), set()
  for line in read_lines(ROOT / 'configs' / 'zoo.csv'):
    file, colon, variant = line.config.partition(':')
    model = load_config(f'{ROOT / file}{colon}{variant}').copy_and_resolve_references().unlock().model
    program = NAMES[line.program]
    model.num_classes = 2
    if model.backbone.name == 'resnet':
      model.backbone.depth = min(model.backbone.depth, 50)
    text = f'{program} {model.name} {named_alike(model)}'
    if text in seen:
      continue
    seen.add(text)
    backbone = f'{program} {model.backbone}'
    if backbone in backbones and model.backbone.name == 'resnet' and model.backbone.conv3x3.name == 'plain':
      model.backbone.update(depth=18, groups=1)
    backbones.add(backbone)
    found[line.config] = program, model
  return found


MODELS = distinct()


@pytest.mark.parametrize('config', MODELS)
def test_every_array_has_one_name(config):
  program, model = MODELS[config]
  framework, shapes = frameworks.FRAMEWORKS[program], frameworks.flat_shapes(model)
  rules = parts.detector_rules(program, framework.detectors, framework.needs, model, shapes)
  assert parts.nameless(rules, shapes) == []
  assert len({rule.upstream for rule in rules}) == len(rules)
  first = [rule.path for rule in rules if not rule.copy]
  assert len(first) == len(set(first)) and {rule.path for rule in rules} == set(first)
