"""What an R-CNN makes on the way from images to detections, under the names of recorded runs."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from ml_collections import FrozenConfigDict

from jaxdet.models.detectors import roi, rpn
from jaxdet.models.detectors.mask_rcnn import MaskRCNN, Variables
from jaxdet.models.detectors.preprocess import normalize
from jaxdet.ops import box_coder
from jaxdet.parity.case import fixed_regions
from jaxdet.parity.compare import BOX, SCORE, Comparison
from jaxdet.parity.matching import Matches, match_rows, recorded_rows
from jaxdet.parity.names import level_names
from jaxdet.parity.subject import Subject
from jaxdet.structures import Batch, Detections


@flax.struct.dataclass
class Forward:
  """One inference pass; names are those of recorded tensors without their first part."""

  input: Float[Array, 'B H W 3']
  maps: dict[str, dict[int, Array]]  # feature maps by part and level
  fixed: dict[str, Array]  # [B, R, ...] of the given regions
  proposed: dict[str, Array]  # [B, P, ...] of the proposals
  detected: dict[str, Array]  # [B, K, ...] of the detections
  proposals: rpn.Proposals
  detections: Detections
  fixed_detections: Detections  # with the given regions as proposals


def compare_inference(subject: Subject, comparison: Comparison) -> None:
  """Adds the checks of everything recorded of an inference pass."""
  case = subject.case
  regions, real = fixed_regions(case)
  threshold = case.meta.get('fixed_roi_score_thr', case.meta['score_thr'])
  run = jax.jit(forward, static_argnums=(0, 5))
  made = jax.device_get(run(subject.detector, subject.variables, subject.batch, regions, real, threshold))

  comparison.tensor('input', 'input', made.input[..., ::-1] if case.bgr else made.input)
  for part, maps in made.maps.items():
    for level, name in level_names(case, part, list(maps)).items():
      comparison.tensor(part.partition('/')[0], name, maps[level])
  for name, value in made.fixed.items():
    comparison.tensor('fixed_roi', f'fixed_roi/{name}', value[real])

  proposed = [_compare_proposals(comparison, image, made.proposals) for image in range(len(real))]
  detected = [comparison.detections('det', image, made.detections) for image in range(len(real))]
  for image in range(len(real)):
    comparison.detections('fixed_roi/det', image, made.fixed_detections)
  _compare_rows(comparison, made.proposed, made.proposals.valid, [matches.rows for matches in proposed])
  _compare_rows(comparison, made.detected, made.detections.valid, [matches.rows for matches in detected])


def _compare_proposals(comparison: Comparison, image: int, proposals: rpn.Proposals) -> Matches:
  """The recorded proposals of an image, of which there may be only the best, and ours."""
  case = comparison.case
  valid = proposals.valid[image]
  scores = proposals.logits[image][valid]
  if case.program == 'mmdet':
    scores = 1 / (1 + np.exp(-scores))
  recorded = recorded_rows(case, f'proposals{image}')
  matches = match_rows(proposals.boxes[image][valid], scores, np.zeros(len(scores), int), recorded)
  count = case.meta['num_proposals'][image] if 'num_proposals' in case.meta else len(recorded[0])
  name = f'proposals{image}'
  comparison.add('proposals', f'{name}/unmatched', (matches.rows < 0).sum() + abs(count - valid.sum()), 0)
  comparison.add('proposals', name, matches.box, BOX)
  comparison.add('scores', name, matches.score, SCORE)
  return matches


def _compare_rows(comparison: Comparison, tensors: dict[str, Array], valid, recorded_rows: list[np.ndarray]) -> None:
  """Compares 'roi/...' tensors, whose rows are proposals or detections in upstream's order.

  Args:
    comparison: gets the checks.
    tensors: [B, P, ...] by name.
    valid: [B, P].
    recorded_rows: of each image our row for each recorded one, -1 where there is none. Rows after these are not
      compared: only the best proposals are recorded.
  """
  orders, known = [], []
  for mask, rows in zip(valid, recorded_rows, strict=True):
    others = np.setdiff1d(np.flatnonzero(mask), rows)
    order = np.concatenate([rows, others])[: mask.sum()]
    known.append(np.arange(len(order)) < len(rows))
    known[-1] &= order >= 0
    orders.append(order)
  for name, value in tensors.items():
    ordered = np.concatenate([x[order] for x, order in zip(value, orders, strict=True)])
    comparison.tensor('roi', f'roi/{name}', ordered, np.concatenate(known))


def forward(
  detector: MaskRCNN,
  variables: Variables,
  batch: Batch,
  regions: Float[Array, 'B R 4'],
  real: Bool[Array, 'B R'],
  fixed_threshold: float,
) -> Forward:
  """Everything that a recorded run holds of an inference pass.

  Args:
    detector: see jaxdet/models/detectors.
    variables: of the detector.
    batch: images.
    regions: boxes on which the RoI stages run too.
    real: which of them there are.
    fixed_threshold: of scores, for the detections of these.
  """
  settings = detector.settings
  images = normalize(batch.image, batch.image_size, settings.pixel_mean, settings.pixel_std, settings.dtype)
  backbone = _apply(detector, 'backbone', variables, images, train=False)
  pyramid = _apply(detector, 'neck', variables, backbone)
  logits, deltas = _apply(detector, 'rpn_head', variables, pyramid)
  proposals = rpn.propose(logits, deltas, batch.image_size, settings.rpn, train=False)
  detections = detector.predict(variables, batch)

  given = rpn.Proposals(regions, jnp.zeros(real.shape), real)
  fixed = box_stages(detector, variables, pyramid, regions)
  test = FrozenConfigDict({**settings.test.to_dict(), 'score_threshold': fixed_threshold})
  fixed_detections = roi.detect(fixed['0/cls'], fixed['0/reg'], given, batch.image_size, settings.roi.coder, test)
  return Forward(
    input=images,
    maps={'backbone': backbone, 'neck': pyramid, 'rpn/cls': logits, 'rpn/reg': deltas},
    fixed=fixed | mask_stages(detector, variables, pyramid, regions),
    proposed=box_stages(detector, variables, pyramid, proposals.boxes),
    detected=mask_stages(detector, variables, pyramid, detections.boxes),
    proposals=proposals,
    detections=detections,
    fixed_detections=fixed_detections,
  )


def box_stages(detector: MaskRCNN, variables: Variables, pyramid, regions: Float[Array, 'B R 4']) -> dict[str, Array]:
  """'<stage>/feats', 'head', 'cls', 'reg' and 'decoded' of regions, each [B, R, ...]."""
  settings = detector.settings.roi
  pooled = detector._pool(pyramid, regions, settings.box_head.roi_size)
  (logits, deltas), hidden = _with_input_of('logits', lambda: _apply(detector, 'box_head', variables, pooled))
  decode = jax.vmap(box_coder.decode, in_axes=(-2, None, None, None), out_axes=-2)
  return {
    '0/feats': pooled,
    '0/head': hidden,
    '0/cls': logits,
    '0/reg': deltas,
    '0/decoded': decode(deltas, regions, settings.coder.weights, settings.coder.clamp),
  }


def mask_stages(detector: MaskRCNN, variables: Variables, pyramid, regions: Float[Array, 'B R 4']) -> dict[str, Array]:
  """'mask/feats' and 'mask/logits' of regions, of all classes; nothing where there is no mask head."""
  if detector.mask_head is None:
    return {}
  pooled = detector._pool(pyramid, regions, detector.settings.roi.mask_head.roi_size)
  return {'mask/feats': pooled, 'mask/logits': _apply(detector, 'mask_head', variables, pooled, None)}


def _with_input_of(layer: str, call):
  """What `call` returns, and what went into the layer of that name on the way."""
  seen = []

  def watch(function, args, kwargs, context):
    if context.module.name == layer and context.method_name == '__call__':
      seen.append(args[0])
    return function(*args, **kwargs)

  with nn.intercept_methods(watch):
    out = call()
  return out, seen[-1]


def _apply(detector: MaskRCNN, network: str, variables: Variables, *args, **kwargs):
  own = {collection: value[network] for collection, value in variables.items() if network in value}
  return getattr(detector, network).apply(own, *args, **kwargs)
