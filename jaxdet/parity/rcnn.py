"""Inference of the R-CNN family, step by step, against a recorded run."""

from collections.abc import Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from ml_collections import FrozenConfigDict

from jaxdet.models.detectors import roi
from jaxdet.models.detectors.cascade_rcnn import CascadeRCNN
from jaxdet.models.detectors.forward import Forward, Variables
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.models.detectors.rcnn import RCNN
from jaxdet.models.detectors.rpn import Levels, Proposals
from jaxdet.ops import box_coder
from jaxdet.parity.case import fixed_regions
from jaxdet.parity.compare import Comparison
from jaxdet.parity.names import level_names, region_names
from jaxdet.parity.subject import Subject
from jaxdet.structures import Batch, Detections

Rows = list[np.ndarray]  # of each image our row for each recorded one, -1 where there is none


@flax.struct.dataclass
class Inference:
  """What a detector makes on the way from images to detections; tensors are named as in `names.region_names`."""

  input: Float[Array, 'B H W 3']
  maps: dict[str, dict[int, Array]]  # feature maps by part and level
  fixed: dict[str, Array]  # [B, R, ...] of the given regions
  proposed: dict[str, Array]  # [B, P, ...] of the proposals
  detected: dict[str, Array]  # [B, K, ...] of the detections
  proposals: Proposals
  detections: Detections
  fixed_detections: Detections | None  # with the given regions as proposals


def compare_inference(subject: Subject, comparison: Comparison) -> None:
  """Adds the checks of everything that was recorded of an inference pass."""
  case = subject.case
  regions, real = fixed_regions(case)
  threshold = case.meta.get('fixed_roi_score_thr', case.meta.get('score_thr'))
  # Masks of all classes are large: only those of as many detections as there should be.
  mask_rows = max(len(case.arrays[f'det{image}/boxes']) for image in range(len(real)))
  # Detectron2's recordings put the same boxes through every stage of a cascade.
  same_boxes = case.program != 'mmdet'
  run = jax.jit(infer, static_argnums=(0, 5, 6, 7))
  made = jax.device_get(
    run(subject.detector, subject.variables, subject.batch, regions, real, threshold, same_boxes, mask_rows)
  )

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


def infer(
  detector: RCNN,
  variables: Variables,
  batch: Batch,
  regions: Float[Array, 'B R 4'],
  real: Bool[Array, 'B R'],
  threshold: float,
  same_boxes: bool,
  mask_rows: int,
) -> Inference:
  """Runs a detector on images, and its RoI stages on regions too.

  Args:
    detector: one of the family.
    variables: of the detector.
    batch: images.
    regions: boxes in canvas pixels, and
    real: which of them there are.
    threshold: of scores, for the detections of these regions.
    same_boxes: every stage of a cascade sees the regions, not what the stage before made of them.
    mask_rows: detections of an image whose masks are made for every class, best first.
  """
  settings = detector.settings
  forward = detector.forward(variables, train=False)
  images = normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)
  backbone = forward('backbone', images)
  pyramid = forward('neck', backbone)
  maps = {'backbone': backbone, 'neck': pyramid}
  if 'rpn_head' in detector.networks:
    maps['rpn/cls'], maps['rpn/reg'] = forward('rpn_head', pyramid)
  proposals = detector.proposals(forward, pyramid, batch)
  detections = detector.predict(variables, batch)

  fixed, proposed, detected, fixed_detections = {}, {}, {}, None
  if any(network.startswith('box_head') for network in detector.networks):
    proposed, _ = box_stages(detector, forward, pyramid, proposals, batch)
    detected = mask_stages(detector, forward, pyramid, detections.boxes[:, :mask_rows])
    given = Proposals(regions, jnp.zeros(real.shape), real)
    # Recorded before upstream's last step, in which Detectron2 drops boxes without area.
    changes = {'score_threshold': threshold, 'drop_empty': False}
    test = FrozenConfigDict({**settings.test.to_dict(), **changes})
    fixed, fixed_detections = box_stages(detector, forward, pyramid, given, batch, test)
    if same_boxes:
      fixed, _ = box_stages(detector, forward, pyramid, given, batch, refine=False)
    fixed |= mask_stages(detector, forward, pyramid, regions)
  return Inference(images, maps, fixed, proposed, detected, proposals, detections, fixed_detections)


def box_stages(
  detector: RCNN,
  forward: Forward,
  pyramid: Levels,
  proposals: Proposals,
  batch: Batch,
  test: FrozenConfigDict | None = None,
  refine: bool = True,
) -> tuple[dict[str, Array], Detections]:
  """The tensors of every stage, '0/feats' and so on, each [B, P, ...], and the detections at the end."""
  test = test or detector.settings.test
  cascade = isinstance(detector, CascadeRCNN)
  stages = detector.stages() if cascade else [detector.settings.roi]
  tensors, all_logits = {}, []
  for k, settings in enumerate(stages):
    boxes = proposals.boxes
    pooled = detector.pooled_boxes(forward, pyramid, boxes)
    features = pooled
    if 'shared_head' in detector.networks:
      features = tensors['shared'] = forward('shared_head', pooled)
    network = f'box_head{k}' if cascade else 'box_head'
    (logits, deltas), layers = _with_layers(('logits', 'confidence'), forward, network, features)
    hidden, uncalibrated = layers['logits']
    decode = jax.vmap(
      lambda deltas, boxes, coder=settings.coder: box_coder.decode(
        deltas, boxes, coder.weights, coder.clamp, extra=coder.extra
      ),
      in_axes=(-2, None),
      out_axes=-2,
    )
    tensors |= {f'{k}/feats': pooled, f'{k}/head': hidden, f'{k}/cls': logits, f'{k}/reg': deltas}
    tensors |= {f'{k}/decoded': decode(deltas, boxes), f'{k}/cls_before': uncalibrated}
    if 'confidence' in layers:
      tensors[f'{k}/confidence'] = jax.nn.sigmoid(layers['confidence'][1])
    all_logits.append(logits)
    if refine and k + 1 < len(stages):
      moved = roi.refine(detector.class_loss.scores(logits), deltas, boxes, batch.image_size, settings.coder)
      proposals = proposals.replace(boxes=moved)
  scores = detector.average_scores(jnp.stack(all_logits)) if cascade else detector.class_loss.scores(logits)
  return tensors, roi.detect(scores, deltas, proposals, batch.image_size, settings.coder, test)


def mask_stages(detector: RCNN, forward: Forward, pyramid: Levels, boxes: Float[Array, 'B R 4']) -> dict[str, Array]:
  """'mask/feats' and 'mask/logits' of regions, of all classes; 'mask0/feats' and so on where every stage has masks."""
  heads = [network for network in detector.networks if network.startswith('mask_head')]
  if not heads:
    return {}
  settings = detector.settings.roi
  shared = 'shared_head' in detector.networks
  pooled = detector._pool(pyramid, boxes, (settings.box_head if shared else settings.mask_head).roi_size)
  features = detector.mask_features(forward, pyramid, boxes)
  tensors = {'mask/shared': features} if shared else {}
  for head in heads:
    part = f'mask{head.removeprefix("mask_head")}' if len(heads) > 1 else 'mask'
    tensors |= {f'{part}/feats': pooled, f'{part}/logits': forward(head, features, None)}
  return tensors


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


def _with_layers(names: Sequence[str], forward: Forward, network: str, *args):
  """What a network returns, and {layer: (what went in, what came out)} of its layers of these names."""
  seen = {}

  def watch(function, args, kwargs, context):
    out = function(*args, **kwargs)
    if context.module.name in names and context.method_name == '__call__':
      seen[context.module.name] = args[0], out
    return out

  with nn.intercept_methods(watch):
    out = forward(network, *args)
  return out, seen
