"""Recorded runs of upstream programs, and jaxdet in their place, for tests; see jaxdet/parity.

A test that asks for a case is skipped where there are no golden values.
"""

import functools
import pathlib

import jax
from ml_collections import ConfigDict

import parity_kit
from jaxdet.configuration import load_config
from jaxdet.parity import case as cases
from jaxdet.parity.case import Case as UpstreamCase
from jaxdet.parity.compare import Comparison
from jaxdet.parity.learning import compare_learning
from jaxdet.parity.model_under_test import ModelUnderTest, make_model_under_test
from jaxdet.parity.overrides import case_config
from jaxdet.parity.run import INFERENCE
from jaxdet.parity.upstream import Entry, find_config
from jaxdet.zoo.lines import read_zoo

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / 'configs'


def lvis_mask_rcnn() -> ConfigDict:
  """`config.model` of the LVIS Mask R-CNN, unlocked."""
  return load_config(str(CONFIGS / 'lvis_maskrcnn.py')).unlock().model


def load_case(name: str) -> UpstreamCase:
  """A case of the kit, 'mmdet/mask_rcnn_r50_fpn'."""
  return cases.load_case(parity_kit.kit(), name)


def model_config(case: UpstreamCase, **backbone) -> ConfigDict:
  """`config.model` of a case, with what a test has otherwise in `config.model.backbone`."""
  config, _ = case_config(case, _entry(case))
  config.model.backbone.update(backbone)
  return config.model


@functools.lru_cache(maxsize=1)  # a checkpoint takes hundreds of MB
def load_model_under_test(name: str) -> ModelUnderTest:
  """The detector of a case with the recorded weights."""
  case = load_case(name)
  return make_model_under_test(case, _entry(case))


def compared(name: str) -> Comparison:
  """Every check of a case's inference, losses and gradients, all that was recorded being covered."""
  tested = load_model_under_test(name)
  assert tested.differences == ()
  comparison = Comparison(tested.case)
  with jax.default_matmul_precision('highest'):
    INFERENCE[tested.config.model.name](tested, comparison)
    compare_learning(tested, comparison)
  assert comparison.covered == set(tested.case.tensors)
  return comparison


def _entry(case: UpstreamCase) -> Entry:
  file, colon, variant = find_config(read_zoo([CONFIGS / 'zoo.csv']), case).config.partition(':')
  return Entry(f'{CONFIGS.parent / file}{colon}{variant}', is_case_specific=False)
