"""Inference of two-stage detectors against a recorded run."""

import dataclasses
import functools

import flax.struct
import jax
import numpy as np
from jaxtyping import Array, Bool, Float
from ml_collections import FrozenConfigDict

from jaxdet.models.box_stages.standard import SHARED_HEAD
from jaxdet.models.detectors.proposal_network import ProposalNetwork
from jaxdet.models.detectors.two_stage import TwoStage
from jaxdet.models.forward import Variables
from jaxdet.models.proposals.given import Given
from jaxdet.models.recording import Record
from jaxdet.parity.case import fixed_regions
from jaxdet.parity.compare import Comparison
from jaxdet.parity.names import level_names, region_names
from jaxdet.parity.pixels import compare_pixels
from jaxdet.parity.subject import Subject
from jaxdet.structures import Batch, Detections, Proposals

Rows = list[np.ndarray]  # of each image our row for each recorded one, -1 where there is none
LAYERS = ('logits', 'confidence')  # of a box head, whose inputs and results are recorded


@flax.struct.dataclass
class Inference:
  """Tensors on the way from images to detections, named as in `names.region_names`."""

  input: Float[Array, 'B H W 3']
  maps: dict[str, dict[int, Array]]  # feature maps by part and level
  fixed: dict[str, Array]  # [B, R, ...] of the given RoIs
  proposed: dict[str, Array]  # [B, P, ...] of the proposals
  detected: dict[str, Array]  # [B, K, ...] of the detections
  proposals: Proposals
  detections: Detections
  fixed_detections: Detections | None  # with the given RoIs as proposals


def compare_inference(subject: Subject, comparison: Comparison) -> None:
  """Adds the checks of everything that was recorded of an inference pass."""
  case = subject.case
  regions, real = fixed_regions(case)
  threshold = case.meta.get('fixed_roi_score_thr', case.meta.get('score_thr'))
  # Masks of all classes are large: only those of as many detections as there should be.
  mask_rows = max(len(case.arrays[f'det{image}/boxes']) for image in range(len(real)))
  # Detectron2's recordings put the same boxes through every stage of a cascade.
  same_boxes = case.program != 'mmdet'
  given = Proposals(regions, np.zeros(real.shape, np.float32), real)
  detector, variables, batch = subject.detector, subject.variables, subject.batch
  if isinstance(detector, ProposalNetwork):
    made = jax.device_get(jax.jit(infer_proposals, static_argnums=0)(detector, variables, batch))
  else:
    run = jax.jit(infer, static_argnums=(0, 4, 5, 6))
    made = jax.device_get(run(detector, variables, batch, given, threshold, same_boxes, mask_rows))

  comparison.tensor('input', 'input', made.input[..., ::-1] if case.bgr else made.input)
  for part, maps in made.maps.items():
    for level, name in level_names(case, part, list(maps)).items():
      comparison.tensor(part.partition('/')[0], name, maps[level])

  images = range(len(real))
  proposed = [_compare_proposals(comparison, image, made.proposals) for image in images]
  detected = [comparison.detections('det', image, made.detections) for image in images]
  _compare_rows(comparison, 'roi', made.proposed, made.proposals.valid, proposed)
  _compare_rows(comparison, 'roi', made.detected, made.detections.valid[:, :mask_rows], detected)
  _compare_rows(comparison, 'fixed_roi', made.fixed, real, [np.arange(count) for count in real.sum(1)])
  if made.fixed_detections is not None and 'fixed_roi/det0/boxes' in case.arrays:
    for image in images:
      comparison.detections('fixed_roi/det', image, made.fixed_detections)
  compare_pixels(subject, comparison, made.detections)


def infer_proposals(detector: ProposalNetwork, variables: Variables, batch: Batch) -> Inference:
  """Runs a proposal network on images."""
  call = Record(detector.networks, variables)
  detections = detector.predict(call, batch)
  nothing = {}
  return Inference(
    detector.preprocess(batch), _maps(call), nothing, nothing, nothing, call.result('proposals'), detections, None
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
  """Runs a detector on images, and its RoI stages on given RoIs too.

  Args:
    detector: of parts.
    variables: of the detector.
    batch: images.
    given: the RoIs.
    threshold: of scores, for the detections of these RoIs.
    same_boxes: every stage of a cascade sees the RoIs, not those that the stage before refined.
    mask_rows: detections of an image whose masks are made for every class, best first.
  """
  record = functools.partial(Record, detector.networks, variables, layers=LAYERS)
  call = record()
  detections = detector.predict(call, batch)
  pyramid = call.result('neck')
  fixed_batch = batch.replace(proposals=given)
  # Recorded before upstream's last step, in which Detectron2 drops boxes without area.
  test = FrozenConfigDict({**detector.test.to_dict(), 'score_threshold': threshold, 'drop_empty_boxes': False})
  on_given = dataclasses.replace(detector, proposals=Given(), test=test)

  fixed_call = record()
  fixed_detections = on_given.detections(fixed_call, pyramid, given, fixed_batch)
  if same_boxes:
    fixed_call = record(instead={'refinement': lambda outputs, rois, image_size: rois})
    on_given.detections(fixed_call, pyramid, given, fixed_batch)
  proposals = call.result('proposals') if call.of('proposals') else batch.proposals
  return Inference(
    detector.preprocess(batch),
    _maps(call),
    box_tensors(detector, fixed_call) | mask_tensors(detector, record(), pyramid, given.boxes),
    box_tensors(detector, call),
    mask_tensors(detector, record(), pyramid, detections.boxes[:, :mask_rows]),
    proposals,
    detections,
    fixed_detections,
  )


def box_tensors(detector: TwoStage, call: Record) -> dict[str, Array]:
  """The tensors of every box stage, '0/feats' and so on, each [B, P, ...], from a record."""
  tensors = {}
  for k, stage in enumerate(detector.stages):
    [head] = call.of(stage.head)
    logits, deltas = head.result
    pooled = (call.of('RoIAlign') or call.of('roi_pool'))[k]
    if SHARED_HEAD in stage.networks:
      tensors['shared'] = head.arguments[0]
    hidden, uncalibrated = call.layers[stage.head, 'logits']
    decode = jax.vmap(stage.coder.decode, in_axes=(-2, None), out_axes=-2)  # of every class
    boxes = pooled.arguments[1]
    tensors |= {f'{k}/feats': pooled.result, f'{k}/head': hidden, f'{k}/cls': logits, f'{k}/reg': deltas}
    tensors |= {f'{k}/decoded': decode(deltas, boxes), f'{k}/cls_before': uncalibrated}
    if (stage.head, 'confidence') in call.layers:
      tensors[f'{k}/confidence'] = jax.nn.sigmoid(call.layers[stage.head, 'confidence'][1])
  return tensors


def mask_tensors(
  detector: TwoStage, call: Record, pyramid: dict[int, Array], boxes: Float[Array, 'B R 4']
) -> dict[str, Array]:
  """'mask/feats' and 'mask/logits' of RoIs, of all classes; 'mask0/feats' and so on where every stage has masks."""
  tensors = {}
  for task in detector.tasks:
    features = (task.pooler or detector.stages[-1].features)(call, pyramid, boxes)
    tensors |= {} if task.pooler else {'mask/shared': features}
    for head in task.networks:
      part = f'mask{head.removeprefix("mask_head")}' if len(task.networks) > 1 else 'mask'
      tensors |= {f'{part}/feats': call.result('RoIAlign'), f'{part}/logits': call(head, features, None)}
  return tensors


def _maps(call: Record) -> dict[str, dict[int, Array]]:
  """Feature maps by the parts that are recorded."""
  maps = {'backbone': call.result('backbone'), 'neck': call.result('neck')}
  if call.of('rpn_head'):
    maps['rpn/cls'], maps['rpn/reg'] = call.result('rpn_head')
  return maps


def _compare_proposals(comparison: Comparison, image: int, proposals: Proposals) -> np.ndarray:
  """Adds the checks of an image's proposals; our row for each recorded one, of which there may be the best only."""
  case, name = comparison.case, f'proposals{image}'
  valid = proposals.valid[image]
  if f'{name}/boxes' not in case.arrays:  # those that were given
    return np.arange(valid.sum())
  scores = 1 / (1 + np.exp(-proposals.logits[image][valid]))
  return comparison.rows('proposals', name, proposals.boxes[image][valid], scores, np.zeros(len(scores), int))


def _compare_rows(
  comparison: Comparison, prefix: str, tensors: dict[str, Array], valid: Bool[np.ndarray, 'B P'], matched: Rows
) -> None:
  """Compares tensors [B, P, ...] whose rows are recorded image after image, in upstream's order.

  Rows that `matched` does not know are not compared: of many proposals only the best are recorded.
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
