"""Programs with known checkpoints, by name, and the rules to read and write their files."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.convert import caffe2, old_torchvision, parts, timm, torchvision
from jaxdet.convert.detectron2.roles import ROLES as DETECTRON2_ROLES
from jaxdet.convert.mmdet.roles import ROLES as MMDET_ROLES
from jaxdet.convert.parts import Roles, Shapes, UnknownPart
from jaxdet.convert.rules import LOSS_STATE, Rule, export_state
from jaxdet.models.build import build_without_data
from jaxdet.models.initialize import variable_shapes

State = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Framework:
  """Names of the arrays of one program."""

  detectors: Roles | None  # None: the program has only backbones
  backbones: Roles | None  # for backbone files, whose names have no prefix; None: the program has no such files
  needs: tuple[str, ...] = ()  # networks that all of its detectors have
  unused: tuple[str, ...] = ()  # patterns of names that are ignored
  # Converts (a file's arrays, the detector's channel order) to the arrays of the program's current version.
  normalize_state: Callable[[State, str], State] = lambda state, channel_order: state
  frozen_norm_counts: bool = True  # True: frozen batch norms have `num_batches_tracked`


_DETECTRON2 = Framework(
  DETECTRON2_ROLES,
  DETECTRON2_ROLES,
  # Buffers of old versions, ImageNet classifiers, and a bias in Caffe2's files that Detectron2 does not read either.
  unused=(
    'pixel_*',
    '*anchor_generator.cell_anchors.*',
    '*.fed_loss_cls_weights',
    'criterion.fed_loss_weight',
    'fc1000_*',
    'pred_*',
    'stem.fc.*',
    'stem.conv1.bias',
  ),
  normalize_state=caffe2.normalized,
  frozen_norm_counts=False,
)
FRAMEWORKS = {
  'detectron2': _DETECTRON2,
  'mmdet': Framework(MMDET_ROLES, MMDET_ROLES, unused=('fc.*', 'head.fc.*', 'bbox_head.integral.project')),
  'torchvision': Framework(
    torchvision.ROLES,
    timm.ROLES,
    needs=('neck', 'rpn_head', 'box_head'),
    unused=('fc.*',),
    normalize_state=lambda state, channel_order: old_torchvision.to_current(state),
  ),
  'cvpods': _DETECTRON2,
  'timm': Framework(None, timm.ROLES, unused=('fc.*',)),
  'jaxdet': Framework({}, None),
}


def shapes(model: ConfigDict) -> dict:
  """Shapes and dtypes of the variables of `config.model`'s detector."""
  return variable_shapes(build_without_data(model, model.num_classes))


def flat_shapes(model: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes and dtypes by path, such as 'params/backbone/stem/conv/kernel'."""
  return flatten_dict(shapes(model), sep='/')


def detector_rules(program: str, model: ConfigDict) -> list[Rule]:
  """Makes the rules of the detector of `config.model`; in jaxdet's own files names are paths.

  Arrays of a known part without a name in the program have no rule.

  Raises:
    UnknownPart: the program has no names for one of the detector's parts.
  """
  return _detector_rules(program, model, flat_shapes(model))


def _detector_rules(program: str, model: ConfigDict, flat: Shapes) -> list[Rule]:
  framework = FRAMEWORKS[program]
  if program == 'jaxdet':
    return [Rule(path, path) for path in flat]
  if framework.detectors is None:
    raise UnknownPart(f'{program} has no detectors: choose another program')
  return parts.detector_rules(program, framework.detectors, framework.needs, model, flat)


def backbone_rules(program: str, model: ConfigDict) -> list[Rule]:
  """Makes the rules of the backbone of `config.model` for backbone files; [] if the program has no such files.

  Raises:
    UnknownPart: the program has no names for it.
  """
  return _backbone_rules(program, model, flat_shapes(model))


def _backbone_rules(program: str, model: ConfigDict, flat: Shapes) -> list[Rule]:
  roles = FRAMEWORKS[program].backbones
  return parts.backbone_rules(program, roles, model, flat) if roles else []


@dataclasses.dataclass(frozen=True)
class Source:
  """A file's arrays and the rules that read them."""

  state: State
  rules: tuple[Rule, ...]
  backbone_only: bool
  unused: tuple[str, ...]  # patterns of names that are ignored


def open_source(program: str, state: State, model: ConfigDict) -> Source:
  """Determines whether a file has a whole detector or only a backbone, and the rules to read it.

  Args:
    program: a key of FRAMEWORKS.
    state: arrays by the program's names, also of old versions, or by Caffe2's for Detectron2.
    model: `config.model`, with the number of classes.

  Raises:
    UnknownPart: the program has no names for a part of the detector.
  """
  framework = FRAMEWORKS[program]
  state = framework.normalize_state(state, model.channel_order)
  flat = flat_shapes(model)
  bare = _backbone_rules(program, model, flat)
  if framework.detectors is None or any(rule.upstream in state for rule in bare):
    return Source(state, tuple(bare), True, framework.unused)
  rules = tuple(_detector_rules(program, model, flat))
  backbone = tuple(rule for rule in rules if parts.is_backbone(rule))
  found = {rule for rule in rules if rule.upstream in state}
  if found and found <= set(backbone):
    return Source(state, backbone, True, framework.unused)
  return Source(state, rules, False, framework.unused)


def count_classes(program: str, state: State, model: ConfigDict) -> int | None:
  """Number of classes of a file's detector; None if it cannot be seen, as in a backbone.

  Arrays whose shapes depend on the number of classes are found by building the model for two and for three classes.
  """
  sizes = {}
  for count in (2, 3):
    model = ConfigDict(model.to_dict())
    model.num_classes = count
    sizes[count] = {path: x.shape for path, x in flat_shapes(model).items()}
  source = open_source(program, state, model)
  for rule in source.rules:
    small, large = sizes[2][rule.path], sizes[3][rule.path]
    if small == large or rule.upstream not in source.state:
      continue
    shape = np.shape(rule.layout.to_jaxdet(np.asarray(source.state[rule.upstream])))
    axis = next(i for i, (a, b) in enumerate(zip(small, large, strict=True)) if a != b)
    if len(shape) == len(small):
      return 2 + (shape[axis] - small[axis]) // (large[axis] - small[axis])
  return None


def export(program: str, variables: Mapping, model: ConfigDict) -> dict[str, np.ndarray]:
  """Exports the state dict that the program's own model of this kind loads with `strict=True`.

  Raises:
    UnknownPart: the program has no names for a part of the detector, or for an array.
    ValueError: the variables are not those of `config.model`.
  """
  framework, flat = FRAMEWORKS[program], flat_shapes(model)
  rules = _detector_rules(program, model, flat)
  if paths := parts.nameless(rules, flat):
    raise UnknownPart(f"{program} has no such detector as this '{model.name}': it has no name for {paths[0]}")
  held = {path for path in flatten_dict(variables, sep='/') if not LOSS_STATE.match(path)}
  if strangers := sorted(held ^ {path for path in flat if not LOSS_STATE.match(path)}):
    raise ValueError(f'the variables are not those of config.model: they differ in {strangers[0]}')
  state = export_state(variables, rules)
  if framework.detectors:
    state |= parts.constants(program, framework.detectors, model, flat)
  collections = {rule.upstream: rule.collection for rule in rules}
  for name in collections:
    module, _, last = name.rpartition('.')
    frozen = collections.get(f'{module}.weight') == 'constants'
    if last == 'running_var' and (framework.frozen_norm_counts or not frozen):
      state[f'{module}.num_batches_tracked'] = np.zeros((), np.int64)
  return state
