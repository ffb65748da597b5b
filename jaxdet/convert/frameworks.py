"""The programs whose checkpoints are known, by name, and which of their rules a file needs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.convert import caffe2, detectron2, mmdet, mmdet_dense, old_torchvision, timm, torchvision
from jaxdet.convert.backbone import bare_rules, is_backbone
from jaxdet.convert.rules import LOSS_STATE, Rule, export_state
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import variable_shapes

State = Mapping[str, np.ndarray]
Table = Callable[[ConfigDict], Sequence[Rule]]


@dataclasses.dataclass(frozen=True)
class Framework:
  """How one program names its arrays."""

  table: Table | None  # of a whole detector, from `config.model`; None: the program has backbones only
  backbone: Table | None  # of a backbone file, whose names have no prefix; None: the program has no such files
  unused: tuple[str, ...] = ()  # patterns of names that say nothing here
  constants: Callable[[ConfigDict], State] = lambda model: {}  # arrays that no weight decides, in a detector's file
  frozen_norm_counts: bool = True  # whether a batch norm that is never trained has `num_batches_tracked`


def own_table(model: ConfigDict) -> list[Rule]:
  """The rules of jaxdet's own files: an array's name is its path."""
  return [Rule(path, path) for path in flatten_dict(shapes(model), sep='/')]


_DETECTRON2 = Framework(
  detectron2.table,
  lambda model: bare_rules(detectron2.table(model)),
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
  frozen_norm_counts=False,
)
FRAMEWORKS = {
  'detectron2': _DETECTRON2,
  'mmdet': Framework(
    mmdet.table,
    lambda model: bare_rules(mmdet.table(model)),
    unused=('fc.*', 'head.fc.*', 'bbox_head.integral.project'),
    constants=mmdet_dense.constants,
  ),
  'torchvision': Framework(torchvision.table, timm.table, unused=('fc.*',)),
  'cvpods': _DETECTRON2,
  'timm': Framework(None, timm.table, unused=('fc.*',)),
  'jaxdet': Framework(own_table, None),
}


def shapes(model: ConfigDict) -> dict:
  """The variables of the detector of `config.model` as shapes and dtypes."""
  return variable_shapes(build_detector(model, model.num_classes))


@dataclasses.dataclass(frozen=True)
class Source:
  """A file's arrays and the rules that read them."""

  state: State
  rules: tuple[Rule, ...]
  backbone_only: bool
  unused: tuple[str, ...]  # patterns of names that say nothing


def open_source(program: str, state: State, model: ConfigDict) -> Source:
  """Finds out whether a file holds a detector or a backbone alone.

  Args:
    program: a key of FRAMEWORKS.
    state: arrays by the program's names, of old versions too, or by Caffe2's for Detectron2.
    model: `config.model`, with the number of classes.

  Raises:
    ValueError: the program has no such detectors.
  """
  framework = FRAMEWORKS[program]
  if framework is _DETECTRON2 and caffe2.is_caffe2(state):
    state, model = caffe2.to_detectron2(state), ConfigDict(model.to_dict())
    model.channel_order = 'BGR'  # of all of Caffe2's
  if program == 'torchvision':
    state = old_torchvision.to_current(state)
  bare = framework.backbone(model) if framework.backbone else ()
  if framework.table is None or any(rule.upstream in state for rule in bare):
    return Source(state, tuple(bare), True, framework.unused)
  rules = tuple(_detector_rules(program, model))
  backbone = tuple(rule for rule in rules if is_backbone(rule))
  found = {rule for rule in rules if rule.upstream in state}
  if found and found <= set(backbone):
    return Source(state, backbone, True, framework.unused)
  return Source(state, rules, False, framework.unused)


def count_classes(program: str, state: State, model: ConfigDict) -> int | None:
  """How many classes a file's detector has, None where it has none to be seen, as in a backbone.

  The arrays whose shapes change with the number of classes are found by building the model for two and for three.
  """
  sizes = {}
  for count in (2, 3):
    model = ConfigDict(model.to_dict())
    model.num_classes = count
    sizes[count] = {path: x.shape for path, x in flatten_dict(shapes(model), sep='/').items()}
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
  """The state dict that the program's own model of this kind loads with `strict=True`.

  Raises:
    ValueError: the program has no such detectors.
  """
  framework, rules = FRAMEWORKS[program], _detector_rules(program, model)
  paths = {path for path in flatten_dict(variables, sep='/') if not LOSS_STATE.match(path)}
  if strangers := sorted(paths ^ {rule.path for rule in rules if not LOSS_STATE.match(rule.path)}):
    raise ValueError(f"{program} has no such detector as this '{model.name}': it differs in {strangers[0]}")
  state = export_state(variables, rules) | framework.constants(model)
  collections = {rule.upstream: rule.collection for rule in rules}
  for name in collections:
    module, _, last = name.rpartition('.')
    frozen = collections.get(f'{module}.weight') == 'constants'
    if last == 'running_var' and (framework.frozen_norm_counts or not frozen):
      state[f'{module}.num_batches_tracked'] = np.zeros((), np.int64)
  return state


def _detector_rules(program: str, model: ConfigDict) -> Sequence[Rule]:
  table = FRAMEWORKS[program].table
  if table is None:
    raise ValueError(f'{program} has no detectors')
  try:
    return table(model)
  except AttributeError as error:  # a table reads the settings of the parts that it knows
    raise ValueError(f"{program} has no such detector as this '{model.name}': {error}") from error
