"""Diagnoses near-zero metrics: looks for usual mistakes in results, and describes them.

Usual mistakes of a results file are tested on the data: if AP50 rises when labels are ignored or shifted, or boxes are
read in another format, the file has this mistake.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxdet.evaluation.average_precision import average_precision
from jaxdet.evaluation.ground_truth import GroundTruth, positions
from jaxdet.evaluation.result_table import ResultTable
from jaxdet.evaluation.selection import PROTOCOLS, DetectionTable, Protocol
from jaxdet.structures import Category

LOW = 1.0  # percent of AP below which mistakes are tested
SAMPLE = 300  # images with objects for these tests
UNSURE = 0.05  # a best score below this is reported
SHORTER_SIDE, LONGER_SIDE = 800, 1333  # usual sizes of resized images, in pixels
USUAL_LIMIT = 100  # least usual limit of detections per image: COCO's 100 or LVIS's 300
AT_LIMIT = 0.01  # share of images with exactly the largest number of detections: above, there was a limit


def diagnose(
  truth: GroundTruth,
  table: ResultTable,
  metrics: Mapping[str, Mapping[str, float | None]],
  score_threshold: float,
  protocol: Protocol,
) -> list[str]:
  """Describes likely mistakes, one sentence each; [] if there are none.

  Args:
    table: the results.
    metrics: by IoU type, in percent.
    score_threshold: the detector's, for the message.
    protocol: of the metrics.
  """
  if not len(truth.image):
    return [f'{truth.source} has no objects: no metric has a value']
  found = survey(truth, table)
  if not found.count:
    return [
      f'no detection in {len(truth.image_ids)} images: no score is above model.test.score_threshold = '
      f'{score_threshold:g}; the weights may not have been loaded, or training has diverged'
    ]
  findings = limited_per_image(truth, found, protocol)
  known = {int(id) for id in truth.image_ids}, {category.id for category in truth.categories}
  for what, counts, listed in zip(('image_id', 'category_id'), (found.of_image, found.of_category), known, strict=True):
    ids = collections.Counter({id: count for id, count in counts.items() if id not in listed})
    if ids:
      some = ', '.join(str(id) for id in sorted(ids)[:5])
      findings.append(
        f'the {what} of {ids.total()} of {found.count} results is not listed in {truth.source}, such as {some}'
      )
  if found.best_score < UNSURE:
    findings.append(f'the best score of all results is {found.best_score:.4g}: the detector is sure of nothing')
  if found.wrong_masks:
    findings.append(f'{found.wrong_masks} masks differ in size from their image, such as {found.wrong_mask}')
  low = {name for name, values in metrics.items() if (ap := values.get('AP')) is not None and ap < LOW}
  if 'bbox' in low or (low and 'bbox' not in metrics):
    findings += tried_mistakes(truth, found)
  elif low and not found.wrong_masks:
    findings.append('boxes fit and masks do not: the masks may be transposed, or the mask head has not been trained')
  return findings


def not_finite(variables: Mapping) -> list[str]:
  """Reports arrays of the detector with NaN or infinity in one sentence; checks this process's part on the host."""
  bad = [
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    if not np.isfinite(leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf).all()
  ]
  return [f'{len(bad)} arrays of the detector hold NaN or infinity, such as {bad[0]}'] if bad else []


@dataclasses.dataclass(frozen=True)
class Survey:
  """Statistics of all results, and columns of the results of a sample of images."""

  count: int
  best_score: float
  of_image: collections.Counter  # results by image id
  of_category: collections.Counter
  wrong_masks: int
  wrong_mask: str  # an example
  images: Int[np.ndarray, 'S']  # the sample, by position
  image: Int[np.ndarray, 'N']
  category_ids: Int[np.ndarray, 'N']
  scores: Float[np.ndarray, 'N']
  boxes: Float[np.ndarray, 'N 4']


def survey(truth: GroundTruth, table: ResultTable) -> Survey:
  images = np.unique(truth.image)[:SAMPLE]
  image = positions(table.image_ids, truth.image_ids)
  size = truth.image_sizes[image]  # arbitrary for unknown images
  wrong = np.flatnonzero((image >= 0) & table.mask_sizes.any(1) & (table.mask_sizes != size).any(1))
  wrong_mask = ''
  if len(wrong):
    (height, width), (true_height, true_width) = table.mask_sizes[wrong[-1]], size[wrong[-1]]
    image_id = table.image_ids[wrong[-1]]
    wrong_mask = f'{height} x {width} on image {image_id} of {true_height} x {true_width}'
  sampled = np.flatnonzero(np.isin(image, images) & ~np.isnan(table.boxes).any(1))
  return Survey(
    len(table.scores),
    table.scores.max(initial=-np.inf),
    _count(table.image_ids),
    _count(table.category_ids),
    len(wrong),
    wrong_mask,
    images,
    image[sampled],
    table.category_ids[sampled],
    table.scores[sampled],
    table.boxes[sampled],
  )


def _count(ids: Int[np.ndarray, 'N']) -> collections.Counter:
  values, counts = np.unique(ids, return_counts=True)
  return collections.Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def limited_per_image(truth: GroundTruth, found: Survey, protocol: Protocol) -> list[str]:
  """Reports results that were limited per image although the protocol limits only per category."""
  if math.isinf(protocol.category_limit):
    return []
  counts = [found.of_image[int(id)] for id in truth.image_ids]
  most = max(counts)
  images = counts.count(most)
  short = sum(found.of_category[category.id] < protocol.category_limit for category in truth.categories)
  if most < USUAL_LIMIT or images < max(2, AT_LIMIT * len(truth.image_ids)) or not short:
    return []
  return [
    f'{images} of {len(truth.image_ids)} images have exactly {most} results and none has more: they were limited by '
    f'image, and {short} of {len(truth.categories)} categories have fewer than {protocol.category_limit}, so this is '
    'not fixed AP; raise model.test.detections and model.test.pre_nms_topk'
  ]


def tried_mistakes(truth: GroundTruth, found: Survey) -> list[str]:
  """Describes the mistake that explains the results best, or states that none does."""
  table = np.asarray([category.id for category in truth.categories], np.int64)
  label = positions(found.category_ids, table)
  base = _ap50(truth, found, label, found.boxes)
  tried = {sentence: _ap50(truth, found, label, change(found.boxes)) for sentence, change in _boxes(truth, found)}
  for sentence, changed in (
    ('category ids look one too small: 0-based labels may have been written', positions(found.category_ids + 1, table)),
    ('category ids look one too large', positions(found.category_ids - 1, table)),
    ('category ids look like positions in the category table, from 0', found.category_ids),
    ('category ids look like positions in the category table, from 1', found.category_ids - 1),
  ):
    tried.setdefault(sentence, _ap50(truth, found, changed, found.boxes))
  sentence, value = max(tried.items(), key=lambda item: item[1])
  unlabelled = dataclasses.replace(truth, label=np.zeros_like(truth.label), categories=(Category(0, 'object'),))
  located = _ap50(unlabelled, found, np.zeros_like(label), found.boxes)
  if value < located / 2:
    sentence = 'boxes fit and labels do not: categories may be in another order, or the classifier has learnt little'
    value = located
  if value < max(0.05, 3 * base):
    return ['AP is next to nothing, and no usual mistake in boxes or labels explains it: is the detector trained?']
  return [f'{sentence} (AP50 of boxes on {len(found.images)} images: {100 * base:.1f} as it is, {100 * value:.1f} so)']


def _boxes(truth: GroundTruth, found: Survey) -> list[tuple[str, Callable]]:
  height, width = truth.image_sizes[found.image].T.astype(np.float64)
  resize = np.minimum(SHORTER_SIDE / np.minimum(height, width), LONGER_SIDE / np.maximum(height, width))
  size = np.stack([width, height, width, height], axis=1)
  return [
    (
      'boxes look like (x1, y1, x2, y2); results have (x, y, width, height)',
      lambda boxes: np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1),
    ),
    (
      "boxes look like (centre, size); results have the top left corner's x and y first",
      lambda boxes: np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], 1),
    ),
    ('x and y of boxes look exchanged', lambda boxes: boxes[:, [1, 0, 3, 2]]),
    ('boxes look like fractions of the image; results have pixels', lambda boxes: boxes * size),
    (
      f'boxes look like pixels of the image resized to {SHORTER_SIDE}; results have pixels of the file',
      lambda boxes: boxes / resize[:, None],
    ),
  ]


def _ap50(truth: GroundTruth, found: Survey, label: Int[np.ndarray, 'N'], boxes: Float[np.ndarray, 'N 4']) -> float:
  """AP50 of the sample's boxes, by COCO's protocol."""
  members = np.flatnonzero(np.isin(truth.image, found.images))
  columns = {field.name: getattr(truth, field.name) for field in dataclasses.fields(truth)}
  per_object = ('annotation_ids', 'image', 'label', 'boxes', 'areas', 'ignore', 'crowd')
  sample = GroundTruth(**(columns | {name: columns[name][members] for name in per_object}))
  keep = (label >= 0) & (label < len(truth.categories))
  boxes = boxes[keep]
  areas, no_masks = {'bbox': boxes[:, 2] * boxes[:, 3]}, np.zeros((0, 2), np.int32)
  results = DetectionTable(found.image[keep], label[keep], found.scores[keep], boxes, [], no_masks, areas)
  return average_precision(sample, results, PROTOCOLS['coco'], 'bbox').summary()['AP50'] or 0.0
