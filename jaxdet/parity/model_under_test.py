"""Builds jaxdet's detector for a recorded run: config, weights and batch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from jaxdet.convert.frameworks import detector_rules
from jaxdet.convert.rules import Rule, import_state
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize, variable_shapes
from jaxdet.parity import case as cases
from jaxdet.parity.anchor_samples import sample_as_recorded
from jaxdet.parity.case import Case
from jaxdet.parity.class_knowledge import draw_as_recorded, set_class_counts
from jaxdet.parity.overrides import case_config
from jaxdet.parity.upstream import Entry
from jaxdet.structures import Batch

# Framework of a recorded program's weight names; Detic is based on Detectron2, DisAlign on cvpods.
NAMES = {'mmdet': 'mmdet', 'detectron2': 'detectron2', 'detic': 'detectron2', 'disalign': 'cvpods'}


@dataclasses.dataclass(frozen=True)
class ModelUnderTest:
  """Detector under test for a case: config, weights and batch."""

  case: Case
  config: ConfigDict
  detector: Any  # see docs/design.md, 'A detector'
  variables: dict[str, Any]
  rules: list[Rule]  # of the weights
  state: dict[str, Any]  # the imported checkpoint
  batch: Batch
  differences: tuple[str, ...]  # between the config and the recorded run


def make_model_under_test(case: Case, entry: Entry, dtype: str = 'float32') -> ModelUnderTest:
  """Builds the detector of a case's config with the recorded weights, all of which must be used.

  Raises:
    ValueError: an override is not understood, or the weights do not fit.
  """
  config, differences = case_config(case, entry)
  config.model.dtype = dtype
  set_class_counts(config.model, case)
  if case.program not in NAMES:
    raise ValueError(f'no names of weights for {case.program}')
  rules = detector_rules(NAMES[case.program], config.model)
  detector = build_detector(config.model, config.model.num_classes)
  detector = sample_as_recorded(draw_as_recorded(detector, case), case)
  state = cases.state(case)
  shapes = variable_shapes(detector)
  variables, report = import_state(state, shapes, rules)
  report.check()
  variables = _with_initial(variables, detector, report.unset)
  batch = cases.batch(case, outlines=bool(config.data.max_vertices))
  return ModelUnderTest(case, config, detector, variables, rules, state, batch, tuple(differences))


def _with_initial(variables: dict[str, Any], detector: Any, paths: Sequence[str]) -> dict[str, Any]:
  """Sets the variables at these paths, which no checkpoint has, to their initial values."""

  @jax.jit
  def initial(key):
    flat = flatten_dict(initialize(detector, key), sep='/')
    return {path: flat[path] for path in paths}

  if not paths:
    return variables
  flat = flatten_dict(variables, sep='/') | initial(jax.random.key(0))
  return {collection: {} for collection in variables} | unflatten_dict(flat, sep='/')
