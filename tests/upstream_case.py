"""A detector of another program: its weights, its images, and what it made of them.

To be used as

  case = load_case('mmdet/mask_rcnn_r50_fpn')
  config = model_config(case, norm='bn_eval')
  detector, variables = load_detector(case, config)
  features = detector.backbone.apply(..., batch_images(case), train=False)
  assert case.error('backbone/0', features[2]) < 1e-4
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

import parity_kit
from jaxdet.command_line import load_config
from jaxdet.convert import detectron2, mmdet
from jaxdet.convert.rules import Rule, import_state
from jaxdet.models.build import build_detector

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / 'configs'


@dataclasses.dataclass(frozen=True)
class UpstreamCase:
  """One recorded run; arrays and meta are described in the kit's own notes."""

  name: str
  meta: dict
  arrays: dict[str, np.ndarray]
  state: dict[str, np.ndarray]  # the checkpoint, by upstream's names

  @property
  def bgr(self) -> bool:
    return self.meta['channel_order'] == 'BGR'

  @property
  def pixel_mean(self) -> tuple[float, ...]:
    """In RGB, as jaxdet's configs have it; so is the deviation."""
    return tuple(self.meta['image_mean'][:: -1 if self.bgr else 1])

  @property
  def pixel_std(self) -> tuple[float, ...]:
    return tuple(self.meta['image_std'][:: -1 if self.bgr else 1])

  def tensor(self, part: str, level: int) -> str:
    """The recorded name of a level's tensor: part is 'backbone', 'neck', 'rpn/cls' or 'rpn/reg'."""
    prefix = 'res' if part == 'backbone' else 'p'
    return f'{part}/{prefix}{level}' if self.name.startswith('detectron2') else f'{part}/{level - 2}'

  def error(self, tensor: str, value: np.ndarray) -> float:
    """Largest difference at the recorded samples, relative to the tensor's RMS.

    Args:
      tensor: recorded name, without 't/'.
      value: the whole tensor; four axes are taken as N, H, W, C, others as they are.
    """
    value = np.asarray(value, np.float64)
    if value.ndim == 4:
      value = value.transpose(0, 3, 1, 2)
    recorded = next(t for t in self.meta['tensors'] if t['name'] == tensor)
    assert list(value.shape) == recorded['shape'], f'{tensor}: {value.shape} instead of {recorded["shape"]}'
    samples = value.reshape(-1)[parity_kit.recipe().sample_indices(value.size)]
    return float(np.abs(samples - self.arrays[f't/{tensor}']).max() / recorded['rms'])


@functools.lru_cache(maxsize=1)  # a checkpoint takes hundreds of MB
def load_case(name: str) -> UpstreamCase:
  """A case of the kit, 'mmdet/mask_rcnn_r50_fpn', with its weights; skips the test where there is no kit."""
  arrays, meta = parity_kit.case(name)
  recipe = parity_kit.recipe()
  state, aliases = {}, {}
  for tensor, shape, kind in meta['params']:
    if kind == 'filled':
      state[tensor] = recipe.fill(meta.get('fill_prefix', '') + tensor, shape)
    elif kind.startswith('alias'):
      aliases[tensor] = kind.partition(':')[2] or meta['aliases'][tensor]
  for tensor, (scale, shift) in meta.get('tweaks', {}).items():
    state[tensor] = state[tensor] * np.float32(scale) + np.float32(shift)
  state |= {tensor: state[source] for tensor, source in aliases.items()}
  return UpstreamCase(name, meta, arrays, state)


def lvis_mask_rcnn() -> ConfigDict:
  """`config.model` of the LVIS Mask R-CNN, unlocked."""
  return load_config(str(CONFIGS / 'lvis_maskrcnn.py')).unlock().model


def model_config(case: UpstreamCase, **backbone) -> ConfigDict:
  """`config.model` of the LVIS Mask R-CNN with the case's pixels and classes, in float32.

  Args:
    case: the upstream run.
    **backbone: what differs in `config.model.backbone`.
  """
  model = lvis_mask_rcnn()
  model.dtype = 'float32'
  model.num_classes = case.meta['num_classes']
  model.pixel_mean, model.pixel_std = case.pixel_mean, case.pixel_std
  model.channel_order = case.meta['channel_order']
  model.backbone.update(backbone)
  if not any('mask_head' in name for name in case.state):
    model.roi.mask_head.name = ''
  return model


def conversion_rules(case: UpstreamCase, model: ConfigDict) -> list[Rule]:
  """The table that belongs to the case's program."""
  program = mmdet if case.name.startswith('mmdet') else detectron2
  return program.table(model)


def load_detector(case: UpstreamCase, model: ConfigDict):
  """The detector of `config.model` and its variables with the case's weights, every one of them used."""
  detector = build_detector(model, model.num_classes)
  shapes = jax.eval_shape(detector.init, jax.random.key(0))
  variables, report = import_state(case.state, shapes, conversion_rules(case, model))
  report.check()
  return detector, variables


def canvas(case: UpstreamCase) -> tuple[np.ndarray, np.ndarray]:
  """uint8 [B, H, W, 3] RGB images at the top left of the case's canvas, and int32 [B, 2] (height, width)."""
  batch, _, height, width = case.meta['batch_shape']
  images = np.zeros((batch, height, width, 3), np.uint8)
  sizes = np.zeros((batch, 2), np.int32)
  for i in range(batch):
    image = parity_kit.recipe().image(i)
    sizes[i] = image.shape[:2]
    images[i, : sizes[i, 0], : sizes[i, 1]] = image
  return images, sizes


def batch_images(case: UpstreamCase) -> np.ndarray:
  """float32 [B, H, W, 3] RGB: normalised by the case's mean and deviation, then padded with zeros."""
  images, sizes = canvas(case)
  mean, std = np.float32(case.pixel_mean), np.float32(case.pixel_std)
  out = np.zeros(images.shape, np.float32)
  for i, (height, width) in enumerate(sizes):
    out[i, :height, :width] = (images[i, :height, :width] - mean) / std
  return out


def fixed_rois(case: UpstreamCase) -> tuple[np.ndarray, np.ndarray]:
  """float32 [B, R, 4] the boxes of the case's `fixed_roi` tensors, zero padded, and bool [B, R] which are real.

  Every image has its ground-truth boxes and then 24 others; rows taken where real are in the recorded order.
  """
  recipe = parity_kit.recipe()
  boxes = []
  for i, (height, width) in enumerate(recipe.IMAGE_SIZES):
    u = recipe.uniform(f'roi{i}', (24, 4))
    x1, y1 = u[:, 0] * 0.7 * width, u[:, 1] * 0.7 * height
    x2, y2 = x1 + 8 + u[:, 2] * (width - x1 - 8), y1 + 8 + u[:, 3] * (height - y1 - 8)
    truth = recipe.ground_truth(i, case.meta['num_classes'])['boxes']
    boxes.append(np.concatenate([truth, np.stack([x1, y1, x2, y2], -1).astype(np.float32)]))
  rows = max(map(len, boxes))
  padded = np.stack([np.pad(b, ((0, rows - len(b)), (0, 0))) for b in boxes])
  return padded, np.stack([np.arange(rows) < len(b) for b in boxes])
