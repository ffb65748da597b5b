"""Compares the inference of two-stage detectors with a recorded run."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import flax.struct
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.box_stages.standard import SHARED_HEAD
from jaxdet.models.detectors.proposal_network import ProposalNetwork
from jaxdet.models.detectors.two_stage import TwoStage
from jaxdet.models.forward import Variables
from jaxdet.models.proposals.given import Given
from jaxdet.models.proposals.rpn import HEAD as RPN_HEAD
from jaxdet.models.recording import Record, Recorded
from jaxdet.models.roi_tasks.grid_points import GRID_HEAD
from jaxdet.models.roi_tasks.mask import MaskTask
from jaxdet.models.roi_tasks.mask_scoring import MASK_IOU_HEAD, MaskScoringTask
from jaxdet.parity.case import fixed_regions
from jaxdet.parity.compare import Comparison
from jaxdet.parity.dense import NAMES, recorded_distances
from jaxdet.parity.model_under_test import ModelUnderTest
from jaxdet.parity.names import level_names, region_names
from jaxdet.parity.pixels import compare_pixels
from jaxdet.structures import Batch, Detections, Proposals

Rows = list[np.ndarray]  # per image our row for each recorded one, -1 if there is none
LAYERS = ('logits', 'confidence')  # layers of a box head with recorded inputs and results


def grid_tensors(made: Recorded) -> dict[str, Array]:
  """Recorded tensors of a grid head; in inference its heat maps have one form."""
  _, pooled = made.arguments
  fused = made.result[:, :, 0]
  return {'grid/feats': pooled, 'grid/fused': fused, 'grid/unfused': fused}


# Networks that were recorded on detections alone, never on given RoIs: the tensors of a call, [B, K, ...].
ON_DETECTIONS: dict[str, Callable[[Recorded], dict[str, Array]]] = {GRID_HEAD: grid_tensors}


@flax.struct.dataclass
class Inference:
  """Intermediate tensors from images to detections, named as in `names.region_names`."""

  input: Float[Array, 'B H W 3']
  maps: dict[str, dict[int, Array]]  # feature maps by part and level
  fixed: dict[str, Array]  # [B, R, ...] of the given RoIs
  proposed: dict[str, Array]  # [B, P, ...] of the proposals
  detected: dict[str, Array]  # [B, K, ...] of the detections, as many as have masks
  on_detections: dict[str, Array]  # [B, K, ...] of the detections
  on_fixed_detections: dict[str, Array]
  proposals: Proposals
  detections: Detections
  fixed_detections: Detections | None  # with the given RoIs as proposals


def compare_inference(tested: ModelUnderTest, comparison: Comparison) -> None:
  """Adds the checks of all recorded tensors of an inference pass."""
  case = tested.case
  regions, real = fixed_regions(case)
  threshold = case.meta.get('fixed_roi_score_thr', case.meta.get('score_thr'))
  # Masks of all classes are large: only for the recorded number of detections.
  mask_rows = max(len(case.arrays[f'det{image}/boxes']) for image in range(len(real)))
  # In Detectron2's recordings every stage of a cascade gets the same boxes.
  same_boxes = case.program != 'mmdet'
  given = Proposals(regions, np.zeros(real.shape, np.float32), real)
  detector, variables, batch = tested.detector, tested.variables, tested.batch
  if isinstance(detector, ProposalNetwork):
    made = jax.device_get(jax.jit(infer_proposals, static_argnums=0)(detector, variables, batch))
  else:
    run = jax.jit(infer, static_argnums=(0, 4, 5, 6))
    made = jax.device_get(run(detector, variables, batch, given, threshold, same_boxes, mask_rows))

  head = tested.config.model.proposals.get('head')
  if head and head.name == 'fcos':
    made.maps['rpn/reg'] = recorded_distances(made.maps['rpn/reg'], head.distances)['head/reg']
  comparison.tensor('input', 'input', made.input[..., ::-1] if case.bgr else made.input)
  for part, maps in made.maps.items():
    for level, name in level_names(case, part, list(maps)).items():
      comparison.tensor(part.partition('/')[0], name, maps[level])

  images = range(len(real))
  proposed = [_compare_proposals(comparison, image, made.proposals) for image in images]
  detected = [comparison.detections('det', image, made.detections) for image in images]
  _compare_rows(comparison, 'roi', made.proposed, made.proposals.valid, proposed)
  _compare_rows(comparison, 'roi', made.detected, made.detections.valid[:, :mask_rows], detected)
  _compare_rows(comparison, 'roi', made.on_detections, made.detections.valid, detected)
  _compare_rows(comparison, 'fixed_roi', made.fixed, real, [np.arange(count) for count in real.sum(1)])
  if made.fixed_detections is not None and 'fixed_roi/det0/boxes' in case.arrays:
    found = [comparison.detections('fixed_roi/det', image, made.fixed_detections) for image in images]
    _compare_rows(comparison, 'fixed_roi', made.on_fixed_detections, made.fixed_detections.valid, found)
  compare_pixels(tested, comparison, made.detections)


def infer_proposals(detector: ProposalNetwork, variables: Variables, batch: Batch) -> Inference:
  """Runs a proposal network on images."""
  call = Record(detector.networks, variables)
  detections = detector.predict(call, batch)
  nothing = {}
  return Inference(
    input=detector.preprocess(batch),
    maps=_maps(call),
    fixed=nothing,
    proposed=nothing,
    detected=nothing,
    on_detections=nothing,
    on_fixed_detections=nothing,
    proposals=call.result('proposals'),
    detections=detections,
    fixed_detections=None,
  )


def infer(
  detector: TwoStage,
  variables: Variables,
  batch: Batch,
  given: Proposals,
  threshold: float,
  same_boxes: bool,
  mask_rows: int,
) -> Inference:
  """Runs a detector on images, and its RoI stages also on given RoIs.

  Args:
    detector: a two-stage detector.
    variables: of the detector.
    batch: images.
    given: the RoIs.
    threshold: score threshold for the detections of these RoIs.
    same_boxes: every stage of a cascade gets the given RoIs, not those refined by the previous stage.
    mask_rows: number of detections per image, best first, with masks of every class.
  """
  record = functools.partial(Record, detector.networks, variables, layers=LAYERS)
  call = record()
  detections = detector.predict(call, batch)
  pyramid = call.result('neck')
  fixed_batch = batch.replace(proposals=given)
  # Recorded before the last step upstream, in which Detectron2 drops boxes without area.
  test = FrozenConfigDict({**detector.test.to_dict(), 'score_threshold': threshold, 'drop_empty_boxes': False})
  # Of these masks were recorded of the RoIs alone.
  tasks = tuple(task for task in detector.tasks if not isinstance(task, MaskTask))
  on_given = dataclasses.replace(detector, proposals=Given(), test=test, tasks=tasks)

  fixed_call = record()
  fixed_detections = on_given.detections(fixed_call, pyramid, given, fixed_batch)
  fixed_detections = on_given.with_tasks(fixed_call, pyramid, fixed_detections, fixed_batch)
  on_fixed_detections = detection_tensors(fixed_call)
  if same_boxes:
    fixed_call = record(instead={'refinement': lambda outputs, rois, image_size: rois})
    on_given.detections(fixed_call, pyramid, given, fixed_batch)
  proposals = call.result('proposals') if call.of('proposals') else batch.proposals
  return Inference(
    input=detector.preprocess(batch),
    maps=_maps(call),
    fixed=box_tensors(detector, fixed_call) | mask_tensors(detector, record(), pyramid, given.boxes),
    proposed=box_tensors(detector, call),
    detected=mask_tensors(
      detector, record(), pyramid, detections.boxes[:, :mask_rows], detections.labels[:, :mask_rows]
    ),
    on_detections=detection_tensors(call),
    on_fixed_detections=on_fixed_detections,
    proposals=proposals,
    detections=detections,
    fixed_detections=fixed_detections,
  )


def box_tensors(detector: TwoStage, call: Record) -> dict[str, Array]:
  """Tensors of every box stage, '0/feats' and so on, each [B, P, ...], from a record."""
  tensors = {}
  pools = iter(call.of('RoIAlign') or call.of('roi_pool'))
  for k, stage in enumerate(detector.stages):
    [head] = call.of(stage.head)
    logits, deltas = head.result
    pooled, *again = itertools.islice(pools, len(jax.tree.leaves(head.arguments)))  # a double head has two features
    tensors |= {f'{k}/feats#{i}': each.result for i, each in enumerate(again, start=2)}
    if SHARED_HEAD in stage.networks:
      tensors['shared'] = head.arguments[0]
    hidden, uncalibrated = call.layers[stage.head, 'logits']
    decode = jax.vmap(stage.coder.decode, in_axes=(-2, None), out_axes=-2)  # of every class
    boxes = pooled.arguments[1]
    tensors |= {f'{k}/feats': pooled.result, f'{k}/head': hidden, f'{k}/cls': logits, f'{k}/cls_before': uncalibrated}
    if deltas is not None:
      tensors |= {f'{k}/reg': deltas, f'{k}/decoded': decode(deltas, boxes)}
    if (stage.head, 'confidence') in call.layers:
      tensors[f'{k}/confidence'] = jax.nn.sigmoid(call.layers[stage.head, 'confidence'][1])
  return tensors


def mask_tensors(
  detector: TwoStage,
  call: Record,
  pyramid: dict[int, Array],
  boxes: Float[Array, 'B R 4'],
  labels: Int[Array, 'B R'] | None = None,
) -> dict[str, Array]:
  """'mask/feats' and 'mask/logits' of RoIs, for all classes; 'mask0/feats' and so on if every stage has masks.

  With `labels` also 'mask_iou' of a detector that predicts it: for all classes, each from the mask of the RoI's label.
  """
  tensors = {}
  for task in (task for task in detector.tasks if isinstance(task, MaskTask)):
    features = (task.pooler or detector.stages[-1].features)(call, pyramid, boxes)
    tensors |= {} if task.pooler else {'mask/shared': features}
    for head in task.heads:
      part = f'mask{head.removeprefix("mask_head")}' if len(task.heads) > 1 else 'mask'
      tensors |= {f'{part}/feats': call.result('RoIAlign'), f'{part}/logits': call(head, features, None)}
    if isinstance(task, MaskScoringTask) and labels is not None:
      tensors['mask_iou'] = call(MASK_IOU_HEAD, features, call(head, features, labels), None)
  return tensors


def detection_tensors(call: Record) -> dict[str, Array]:
  """The tensors of networks that were recorded on detections alone, from a record."""
  calls = [made for name in ON_DETECTIONS for made in call.of(name)]
  return {name: value for made in calls for name, value in ON_DETECTIONS[made.name](made).items()}


def _maps(call: Record) -> dict[str, dict[int, Array]]:
  """Feature maps by recorded part."""
  maps = {'backbone': call.result('backbone'), 'neck': call.result('neck')}
  if not call.of(RPN_HEAD):
    return maps
  found = call.result(RPN_HEAD)
  if isinstance(found, tuple):
    maps['rpn/cls'], maps['rpn/reg'] = found
    return maps
  return maps | {NAMES[name].replace('head/', 'rpn/'): by_level for name, by_level in found.items()}


def _compare_proposals(comparison: Comparison, image: int, proposals: Proposals) -> np.ndarray:
  """Adds the checks of an image's proposals; returns our row for each recorded one (maybe only the best)."""
  case, name = comparison.case, f'proposals{image}'
  valid = proposals.valid[image]
  if f'{name}/boxes' not in case.arrays:  # those that were given
    return np.arange(valid.sum())
  scores = 1 / (1 + np.exp(-proposals.logits[image][valid]))
  return comparison.rows('proposals', name, proposals.boxes[image][valid], scores, np.zeros(len(scores), int))


def _compare_rows(
  comparison: Comparison, prefix: str, tensors: dict[str, Array], valid: Bool[np.ndarray, 'B P'], matched: Rows
) -> None:
  """Compares tensors [B, P, ...] with rows recorded image by image, in upstream's order.

  Rows without a match in `matched` are not compared: of many proposals only the best are recorded.
  """
  orders, known = [], []
  for mask, rows in zip(valid, matched, strict=True):
    rest = np.setdiff1d(np.flatnonzero(mask), rows)
    order = np.concatenate([rows, rest])[: mask.sum()].astype(int)
    orders.append(order.clip(0, len(mask) - 1))
    known.append((np.arange(len(order)) < len(rows)) & (order == orders[-1]))
  shared_head = 'shared' in tensors or 'mask/shared' in tensors
  for ours, value in tensors.items():
    ordered = np.concatenate([x[order] for x, order in zip(value, orders, strict=True)])
    for name in region_names(comparison.case, ours, shared_head):
      comparison.tensor(prefix, f'{prefix}/{name}', ordered, np.concatenate(known))
