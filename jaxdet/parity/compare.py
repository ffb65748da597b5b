"""Compares a recorded run with jaxdet's: differences as numbers with tolerances."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Int

from jaxdet.parity.case import Case
from jaxdet.parity.matching import mask_errors, match_rows, recorded_count, recorded_rows
from jaxdet.structures import Detections, ImageMasks

TENSOR = 1e-4  # of a tensor's RMS; float32 rounding is around 1e-5, a wrong padding or layout above 1e-2
BOX = 0.05  # pixels
SCORE = 1e-4
MASK = 0.01  # 1 - IoU of pixels
PIXELS = 1e-3  # share of an image's
LOSS = 1e-4  # relative
GRADIENT = 1e-3  # relative, of an array's norm
TRAINING = 1e-3  # relative
ROUNDING = 5.0  # an error up to so many times that of a float64 run counts as rounding
TINY = 1e-4  # losses and gradient norms below this count as zero
DELTA = 1e-2  # of the RMS of the change by five steps, beyond rounding

# Stages of the comparison in a detector's order; the columns of a report.
STAGES = {
  'config': 'what the config says and the recorded run did otherwise',
  'input': 'normalised, padded images',
  'backbone': 'feature maps',
  'neck': 'feature maps',
  'rpn': 'objectness logits and deltas',
  'head': 'what a dense head makes of every level',
  'encoder': 'the memory, and what a first stage makes of it',
  'decoder': 'logits and boxes of every layer',
  'fixed_roi': 'pooled features, logits, deltas and masks of boxes that depend on no network',
  'proposals': 'pixels between matched boxes',
  'roi': 'the same of the proposals and detections',
  'boxes': 'pixels between matched detections',
  'scores': 'of proposals and detections, absolute',
  'masks': '1 - IoU of pasted masks',
  'pixels': 'share of those with another class, or in another segment',
  'losses': 'relative',
  'gradients': 'relative, of the norm of every parameter that is trained',
  'training': 'losses before each of five SGD steps, relative; what the steps changed, of its RMS',
}


@dataclasses.dataclass(frozen=True)
class Check:
  """Comparison of one number."""

  stage: str  # a key of STAGES
  name: str
  error: float  # in the stage's unit; infinite if nothing could be compared
  tolerance: float
  rounding: float = 0.0  # error of a float64 run, if the number failed

  @property
  def passed(self) -> bool:
    return self.error <= self.tolerance  # False for NaN

  @property
  def is_rounding(self) -> bool:
    """True if the number failed, and fails in float64 too, by about as much."""
    return not self.passed and self.rounding > self.tolerance and self.error <= ROUNDING * self.rounding


def relative(ours: float, recorded: float) -> float:
  """|ours - recorded| / (|recorded| + TINY)."""
  return abs(float(ours) - recorded) / (abs(recorded) + TINY)


def upstream_layout(value: np.ndarray) -> np.ndarray:
  """Converts [N, H, W, C] to [N, C, H, W]; axes after the fourth are merged into C, also in [N, C, ...]."""
  if value.ndim == 5:  # deltas [N, H, W, A, 4]
    value = value.reshape(*value.shape[:3], -1)
  if value.ndim == 4:
    return value.transpose(0, 3, 1, 2)
  return value.reshape(len(value), -1)


def tensor_error(case: Case, name: str, value: np.ndarray, rows: Bool[np.ndarray, 'N *S'] | None = None) -> float:
  """Largest difference at the recorded samples, relative to the tensor's RMS.

  Args:
    case: the recorded run.
    name: of the tensor.
    value: the whole tensor, rows first, channels last.
    rows: mask of the rows (of a sequence: the cells) whose samples are compared; None: all.

  Returns:
    Infinity if the shapes differ, NaN if no sample is compared.
  """
  value = np.asarray(value)
  recorded = case.tensors[name]
  if not value.ndim == len(recorded['shape']) == 3:  # sequences are batch first upstream too
    value = upstream_layout(value)
  if list(value.shape) != recorded['shape']:
    return math.inf
  difference = np.abs(case.samples(name, value).astype(np.float64) - case.arrays[f't/{name}'])
  if rows is not None:
    row = case.recipe.sample_indices(value.size) // (value.size // rows.size)
    difference = difference[rows.reshape(-1)[row]]
  return float(difference.max() / max(recorded['rms'], 1e-30)) if difference.size else math.nan


class Comparison:
  """Collects the checks of a case, and the recorded tensors that they cover."""

  def __init__(self, case: Case):
    self.case = case
    self.checks: list[Check] = []
    self.covered: set[str] = set()

  def add(self, stage: str, name: str, error: float, tolerance: float) -> None:
    self.checks.append(Check(stage, name, float(error), tolerance))

  def number(self, stage: str, name: str, ours: float, recorded: float, tolerance: float) -> None:
    """Compares a number with the recorded one by `relative`."""
    self.add(stage, name, relative(ours, recorded), tolerance)

  def missing(self, stage: str, name: str) -> None:
    """Adds a failed check for a recorded value that jaxdet's detector does not have."""
    self.checks.append(Check(stage, f'{name} (missing)', math.inf, 0.0))

  def tensor(self, stage: str, name: str, value: np.ndarray, rows: Bool[np.ndarray, 'N *S'] | None = None) -> None:
    """Compares a tensor if it was recorded; see `tensor_error`."""
    if name not in self.case.tensors:
      return
    error = tensor_error(self.case, name, value, rows)
    if not (rows is not None and math.isnan(error) and not np.isnan(np.asarray(value)).any()):
      self.covered.add(name)
      self.add(stage, name, error, TENSOR)

  def measure_rounding(self, exact: 'Comparison') -> None:
    """Adds to failed checks the error of a float64 run; tolerances do not change.

    Some networks amplify rounding errors layer by layer, upstream as well as here.
    """
    errors = {(check.stage, check.name): check.error for check in exact.checks}
    for i, check in enumerate(self.checks):
      if not check.passed:
        self.checks[i] = dataclasses.replace(check, rounding=errors.get((check.stage, check.name), 0.0))

  def detections(self, prefix: str, image: int, found: Detections) -> Int[np.ndarray, 'N']:
    """Compares the detections of an image with the recorded 'det0' or 'fixed_roi/det0'.

    Returns:
      For each recorded detection our row among the valid ones, -1 if there is none.
    """
    name = f'{prefix}{image}'
    valid = np.asarray(found.valid[image])
    boxes, scores, labels = (np.asarray(x[image])[valid] for x in (found.boxes, found.scores, found.labels))
    matches = self.rows('boxes', name, boxes, scores, labels)
    self.add('boxes', f'{name}/incomplete', float(found.incomplete[image]), 0)
    if f'{name}/masks' in self.case.arrays and found.masks is not None:
      masks = np.asarray(found.masks.probabilities[image])[valid]
      errors = mask_errors(self.case, name, masks, boxes, matches, over_image=isinstance(found.masks, ImageMasks))
      self.add('masks', name, max(errors, default=0.0), MASK)
    return matches

  def rows(self, stage: str, name: str, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compares an image's proposals or detections with recorded ones; as `detections`."""
    matches = match_rows(boxes, scores, labels, recorded_rows(self.case, name))
    count = recorded_count(self.case, name)
    lost = 0 if count is None else abs(count - len(boxes))
    self.add(stage, f'{name}/unmatched', (matches.rows < 0).sum() + lost, 0)
    self.add(stage, name, matches.box, BOX)
    self.add('scores', name, matches.score, SCORE)
    return matches.rows
