"""Ranges of a config's settings: one table, and a check that reads it before any file is opened.

The comments beside the settings in `configs/parts/` say what they mean; the table says which values they may have. A
source of `data.more_sources` has the ranges of `data`. A setting that a new part brings needs a row too; until it has
one, its numbers must only be finite.
"""

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxdet.ranges import (
  Range,
  bounds,
  factors_of_patterns,
  number,
  one_of,
  one_or_several,
  or_none,
  pattern,
  several,
  text,
  whole,
)

SHOWN = 20  # problems of a message; more are counted

COUNT, AMOUNT, POSITIVE, SHARE, ANY = whole(1), number(0), number(above=0), number(0, 1), number()
LEVELS = several(whole(0))
CANVAS = several(COUNT, 2, 2)
COLOUR = several(whole(0, 255), 3, 3)


class Row(NamedTuple):
  """Settings with the same range."""

  keys: str  # patterns of keys, with * and ?, separated by spaces
  allowed: Range
  hint: str = ''  # meaning, or a special value


TABLE = (
  # A run.
  Row('seed', whole(0, 2**32 - 1), 'of all random numbers; a larger one would repeat those of a smaller one'),
  Row('train.steps', COUNT, 'length of the run; the command eval evaluates without training'),
  Row('train.batch_size', COUNT, 'images per step, over all devices'),
  Row('train.accumulate', COUNT, 'micro-batches per step'),
  Row('train.ema_decay', number(0, below=1), '0: no average'),
  Row('train.log_every', whole(0), 'steps; 0: at the end alone'),
  Row('train.checkpoint_every train.eval_every', whole(0), 'steps; 0: at the end alone'),
  Row('train.keep_checkpoints', COUNT, 'the last ones; with 0 none would be left'),
  Row('train.optimizer.momentum', number(0, below=1)),
  Row('train.optimizer.weight_decay', SHARE),
  Row('train.optimizer.decay_factors', factors_of_patterns(AMOUNT), 'of weight_decay, by the paths of parameters'),
  Row('train.optimizer.clip_norm', AMOUNT, 'largest norm of the gradient; 0: no clipping'),
  Row('train.optimizer.lr_factors.*', AMOUNT, 'of the learning rate'),
  Row('train.schedule.base_lr', POSITIVE, 'learning rate for base_batch_size images per step'),
  Row('train.schedule.base_batch_size', COUNT, 'images per step for which base_lr is meant'),
  Row('train.schedule.milestones', several(COUNT, 0, rising=True), 'steps after which the rate falls; (): never'),
  Row('train.schedule.gamma', number(above=0, most=1), 'factor of the learning rate at a milestone'),
  Row('train.schedule.warmup_steps', whole(0), '0: no warm-up'),
  Row('train.schedule.warmup_factor', SHARE, 'of the learning rate at the first step'),
  # Evaluation.
  Row('eval.batch_size', COUNT, 'images per batch, over all devices'),
  Row('eval.iou_types', several(one_of('bbox', 'segm')), 'boxes and masks'),
  Row('eval.pictures', whole(0), 'number of pictures; 0: none'),
  Row('eval.picture_threshold', SHARE, 'least score of drawn detections'),
  Row('eval.semantic.ignore data.semantic.ignore', whole(0, 255), 'value of ignored pixels'),
  # Data.
  Row('data.train', several(text(), 0), 'annotation files, the first that exists is read; (): no training'),
  Row('data.val', several(text()), 'annotation files, the first that exists is read'),
  Row('data.rate', AMOUNT, 'share of the steps, relative to other sources'),
  Row('data.max_objects', COUNT, 'objects per image'),
  Row('data.ignore.min_side', AMOUNT, 'pixels of the file'),
  Row('data.mask_size data.max_vertices', whole(0), '0: no masks, or no outlines'),
  Row('data.keypoints.points', whole(0), 'per object; 0: no keypoints'),
  Row('data.keypoints.flip_pairs', several(several(whole(0), 2, 2), 0), 'numbers of the points that a flip exchanges'),
  Row('data.sampler.threshold', SHARE, 'share of the images'),
  Row('data.flip data.copy_paste.probability data.resize.*probability', SHARE, 'a probability'),
  Row('data.canvases', several(CANVAS, 1, 2), '(height, width) in pixels, of wide and of tall images'),
  Row('data.test_canvases', several(CANVAS, 0, 2), '(height, width) in pixels; (): those of training'),
  Row('data.resize.sizes data.resize.crop.sizes', several(COUNT), 'pixels of the shorter side, one is drawn'),
  Row('data.resize.test_size data.resize.max_size data.resize.crop.max_size', COUNT, 'pixels'),
  Row('data.resize.crop.range', bounds(COUNT), 'pixels of a side'),
  Row('data.resize.jitter', bounds(POSITIVE), 'scales, relative to the canvas'),
  Row('data.resize.window.expand_ratio', number(1), "ratio of the ground's sides to the image's"),
  Row('data.resize.window.min_ious', several(number(above=0, below=1), 0), 'IoUs; (): no crops'),
  Row('data.resize.window.min_side', number(above=0, most=1), 'relative to the whole'),
  Row('data.resize.center_crop.scales', several(POSITIVE), 'sides relative to the canvas'),
  Row('data.resize.center_crop.border', whole(0), 'pixels'),
  Row('data.resize.*.ground', COLOUR, 'red, green, blue'),
  Row('data.photometric.brightness', number(0, 255), 'largest added value'),
  Row('data.photometric.contrast data.photometric.saturation', bounds(AMOUNT), 'factors'),
  Row('data.photometric.hue', number(0, 180), 'degrees'),
  Row('data.shapes.*', whole(0), 'of the generated set'),
  # Every model.
  Row('model.dtype', one_of('float32', 'bfloat16'), 'of activations'),
  Row('model.num_classes', or_none(COUNT), 'None: the number of categories of the annotation file'),
  Row('model.class_counts.num_images', whole(0)),
  Row('model.class_counts.images model.class_counts.instances', several(AMOUNT, 0), '(): counted when training begins'),
  Row('model.frozen', several(pattern(), 0), 'paths of parameters that are not trained'),
  Row('model.pixel_mean', several(ANY, 3, 3), 'red, green, blue'),
  Row('model.pixel_std', several(POSITIVE, 3, 3), 'red, green, blue'),
  # Networks.
  Row('model.backbone.depth model.backbone.num_stages model.backbone.stacks model.neck.stage', COUNT),
  Row('model.backbone.groups model.*.offset_groups model.*.norm_groups', COUNT),
  Row('model.backbone.*width model.backbone.features model.*.feed_forward', COUNT, 'channels'),
  Row('model.*channels model.backbone.blocks', one_or_several(COUNT)),
  Row('model.neck.level model.*.canonical_level', whole(0)),
  Row('model.*.levels', LEVELS, 'the stride of a level is 2**level'),
  Row('model.neck.refine_level', whole(0)),
  Row('model.neck.strides', several(COUNT)),
  Row('model.neck.padding', several(whole(0))),
  Row('model.neck.last_size model.*.roi_size model.*.canonical_size', COUNT),
  Row('model.neck.scale', POSITIVE, 'initial factor of a norm'),
  Row('model.*.num_convs model.*.num_fcs', whole(0), 'number of layers'),
  Row('model.*.num_prototypes model.*.embedding model.pyramid_tasks.*.num_classes', COUNT),
  Row('model.roi.grid_head.grid_size', whole(2), 'points per side'),
  Row('model.roi.pooler.sampling_ratio', whole(0), '0: as many samples as a bin has pixels'),
  Row('model.roi.box_head.tau', ANY, 'an exponent; 0: no normalisation'),
  Row('model.roi.box_head.cosine_scale', POSITIVE),
  Row('model.*coder.layers model.*coder.heads model.*coder.points model.*coder.queries', COUNT),
  Row('model.*coder.dropout', number(0, below=1), 'a probability'),
  Row('model.position_offset', ANY),
  # Anchors, and their assignment to objects.
  Row('model.*.anchors.sizes model.*.anchors.aspect_ratios', one_or_several(POSITIVE)),
  Row('model.*.anchors.strides', several(POSITIVE, 0), 'pixels of each level; (): 2**level'),
  Row('model.*.anchors.offset', ANY, 'in strides'),
  Row('model.*.coder.weights', several(POSITIVE, 4, 4)),
  Row('model.*.negative_iou', one_or_several(SHARE), 'an IoU'),
  Row('model.*.positive_iou model.*.low_quality_min_iou model.head.heat.min_overlap', SHARE, 'an IoU'),
  Row('model.*.matcher.num_nearest', COUNT, 'candidates per object and level'),
  Row('model.*.radius', AMOUNT),
  Row('model.head.ranges model.proposals.head.ranges', several(bounds(AMOUNT)), 'pixels, of each level'),
  Row('model.head.largest', COUNT, 'in strides'),
  Row('model.*.border', whole(-1), 'pixels; -1: all anchors take part'),
  Row('model.*.sampler.num', whole(0), '0: all'),
  Row('model.*.sampler.negatives_per_positive', COUNT),
  Row('model.*.sampler.bins', COUNT, 'of IoU'),
  Row('model.*.sampler.floor_iou model.*.sampler.floor_fraction', SHARE),
  Row('model.*.positive_fraction', SHARE),
  Row('model.head.negatives', AMOUNT, 'per positive'),
  Row('model.head.masks.positives', COUNT, 'anchors per image in the mask loss'),
  Row('model.roi.box_scale', POSITIVE, "of a RoI's sides, for the deltas"),
  Row('model.roi.dynamic.interval model.roi.dynamic.*_rank', COUNT),
  Row('model.roi.dynamic.least_iou', SHARE),
  Row('model.roi.dynamic.largest_beta', POSITIVE),
  Row('model.roi.mask_scoring.logit_threshold', ANY, 'of a mask'),
  Row('model.roi.grid_points.max_rois', whole(0), 'per image; 0: all'),
  Row('model.roi.grid_points.jitter', number(0, below=1), "relative to a RoI's sides"),
  Row('model.roi.cascade.ious', several(SHARE), 'of each stage'),
  Row('model.roi.cascade.coder_weights', several(several(POSITIVE, 4, 4)), 'of each stage'),
  Row('model.roi.cascade.feature_gradient', SHARE),
  # Losses.
  Row('model.roi.cascade.loss_weights', several(AMOUNT), 'of each stage'),
  Row('model.*weight model.*loss_weights.*', AMOUNT),
  Row('model.*.pull model.*.push model.*.beta', AMOUNT),
  Row('model.head.embedding_loss.images', COUNT),
  Row('model.proposals.normalizer', whole(0), 'anchors per image; 0: the sampled ones'),
  Row('model.head.normalizer.initial', POSITIVE),
  Row('model.head.normalizer.momentum', number(0, below=1)),
  Row('model.*.loss.alpha model.*.loss.gamma', AMOUNT),
  Row('model.*class_loss.alpha model.*class_loss.gamma model.*class_loss.power', AMOUNT),
  Row('model.*class_loss.p model.*class_loss.q model.*class_loss.scale model.*class_loss.others', AMOUNT),
  Row('model.*class_loss.tau model.*class_loss.mu', ANY),
  Row('model.*class_loss.prior model.*class_loss.background', number(above=0, below=1), 'a share'),
  Row('model.*class_loss.below model.*class_loss.threshold', SHARE),
  Row('model.*class_loss.slots', COUNT, 'classes'),
  Row('model.*class_loss.bounds', several(COUNT, rising=True), 'numbers of objects between the groups'),
  # Proposals and detections.
  Row('model.proposals.count', COUNT, 'proposals per image'),
  Row('model.*.pre_nms_topk model.*.post_nms_topk model.test.corner_topk model.test.per_class', COUNT),
  Row('model.*.min_size', AMOUNT, 'pixels'),
  Row('model.*proposals.iou model.test.iou model.test.*.iou', SHARE, 'threshold of suppression'),
  Row('model.test.*sigma', POSITIVE, 'of the decay of scores'),
  Row('model.test.*score_threshold', SHARE),
  Row('model.test.detections', whole(0), 'per image'),
  Row('model.test.distance_threshold', AMOUNT),
  Row('model.test.local_maximum_kernel', COUNT, 'cells'),
  Row('model.test.margin', whole(0), '0: images are not moved'),
  Row('model.test.panoptic.overlap', SHARE),
  Row('model.test.panoptic.stuff_area', AMOUNT, 'pixels of the file'),
)


def check(config: ConfigDict) -> None:
  """Checks every setting of a config.

  Raises:
    ValueError: settings are out of range, or do not go together; the message has all of them.
  """
  values = dict(leaves(config.to_dict()))
  wrong = {key: problem for key, value in values.items() if (problem := _problem(key, value))}
  fine = {key: value for key, value in values.items() if key not in wrong}
  problems = [*wrong.values(), *(problem for relation in RELATIONS for problem in relation(fine))]
  if not problems:
    return
  more = f'; and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
  count = f'{len(problems)} settings' if len(problems) > 1 else 'a setting'
  raise ValueError(f'the config has {count} out of range: {"; ".join(problems[:SHOWN])}{more}')


def row_of(key: str) -> Row | None:
  """Finds the first row with a pattern for this key; None if there is none."""
  key = re.sub(r'^data\.more_sources\.\w+\.', 'data.', key)
  return next((row for row in TABLE if any(fnmatch.fnmatchcase(key, each) for each in row.keys.split())), None)


def leaves(tree: Mapping, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yields (key, value) of every setting, such as ('train.steps', 500)."""
  for name, value in tree.items():
    if isinstance(value, Mapping):
      yield from leaves(value, f'{prefix}{name}.')
    else:
      yield f'{prefix}{name}', value


def _problem(key: str, value: Any) -> str:
  """Says what is wrong with a value; '' if nothing is."""
  row = row_of(key)
  if row is None:
    return f'{key} is {value!r}: give finite numbers' if _has_endless_number(value) else ''
  if row.allowed.holds(value):
    return ''
  return f'{key} is {value!r}: give {row.allowed.words}{f" ({row.hint})" if row.hint else ""}'


def _has_endless_number(value: Any) -> bool:
  """True if a number of the value is NaN or infinite."""
  if isinstance(value, list | tuple):
    return any(map(_has_endless_number, value))
  return isinstance(value, float) and not ANY.holds(value)


def _whole_micro_batches(values: Mapping[str, Any]) -> Iterator[str]:
  images, parts = values.get('train.batch_size'), values.get('train.accumulate')
  if images and parts and images % parts:
    yield f'train.batch_size is {images}: give a multiple of train.accumulate, {parts}'


def _ious_of_matchers(values: Mapping[str, Any]) -> Iterator[str]:
  for key, positive in values.items():
    negative = values.get(key.replace('positive_iou', 'negative_iou'))
    if key.endswith('.positive_iou') and negative is not None:
      highest = max(negative) if isinstance(negative, list | tuple) else negative
      if highest > positive:
        yield f'{key} is {positive}: give at least the negative_iou beside it, {highest}'


def _stages_of_cascade(values: Mapping[str, Any]) -> Iterator[str]:
  found = [
    f'{key} {len(values[key])}'
    for name in ('ious', 'coder_weights', 'loss_weights')
    if (key := f'model.roi.cascade.{name}') in values
  ]
  if len({text.rpartition(' ')[2] for text in found}) > 1:
    yield f'the numbers of stages differ: {", ".join(found)}: give a value for each stage'


def _orientations_of_canvases(values: Mapping[str, Any]) -> Iterator[str]:
  for key, canvases in values.items():
    if re.fullmatch(r'data\.(.*\.)?(test_)?canvases', key) and len(canvases) == 2:
      wide, tall = canvases
      if wide[0] > wide[1] or tall[0] < tall[1]:
        yield f'{key} is {canvases}: give one (height, width), or a wide one and a tall one'


def _points_of_pairs(values: Mapping[str, Any]) -> Iterator[str]:
  for key, pairs in values.items():
    points = values.get(key.replace('flip_pairs', 'points'))
    if key.endswith('.keypoints.flip_pairs') and points is not None and any(max(pair) >= points for pair in pairs):
      yield f'{key} is {pairs}: give numbers below keypoints.points, {points}'


def _generated_images(values: Mapping[str, Any]) -> Iterator[str]:
  if values.get('data.name') == 'shapes':
    for key, value in values.items():
      if key.startswith('data.shapes.') and not value:
        yield f"{key} is {value}: give {COUNT.words} (data.name is 'shapes')"


def _some_detections(values: Mapping[str, Any]) -> Iterator[str]:
  if values.get('model.test.detections') == 0 and values.get('model.name') != 'pyramid_network':
    yield f'model.test.detections is 0: give {COUNT.words} (per image)'


# What several settings together must be: functions from settings in range to sentences on problems.
RELATIONS: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
  _whole_micro_batches,
  _ious_of_matchers,
  _stages_of_cascade,
  _orientations_of_canvases,
  _points_of_pairs,
  _generated_images,
  _some_detections,
)
