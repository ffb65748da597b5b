"""Cascade R-CNN (Cai & Vasconcelos, 2018): each box head refines the boxes of the one before, at a higher IoU.

What Detectron2 and mmdetection do differently is in `settings.roi.cascade`; its comments in the configs say who does
what.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array
from ml_collections import ConfigDict, FrozenConfigDict

from jaxdet.models.detectors import roi
from jaxdet.models.detectors.forward import Losses, Variables
from jaxdet.models.detectors.rcnn import RCNN, image_keys
from jaxdet.structures import Batch, Detections


class CascadeRCNN(RCNN):
  """A detector with box heads `box_head0`, `box_head1`, ...

  Masks come from `mask_head0`, which is trained on the first stage's regions, or from a `mask_head<k>` for every stage,
  whose probabilities are averaged; or there are none.
  """

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
    """As `MaskRCNN.loss`; the losses of a stage have its number at the end of their names."""
    forward = self.forward(variables, train=True)
    pyramid = self.pyramid(forward, batch)
    stages = self.stages()
    keys = jax.vmap(lambda key: jax.random.split(key, 1 + len(stages)))(image_keys(key, batch))
    losses, proposals = self.training_proposals(forward, pyramid, batch, keys[:, 0])

    cascade = self.settings.roi.cascade
    for k, settings in enumerate(stages):
      regions = roi.targets(proposals, batch, keys[:, 1 + k], self.settings.num_classes, settings)
      features = optax.scale_gradient(self.box_features(forward, pyramid, regions.boxes), cascade.feature_gradient)
      stage_key = jax.random.fold_in(key, k)
      of_stage, (logits, deltas) = self.box_losses(
        forward, f'box_head{k}', features, regions, batch, settings, stage_key
      )
      if f'mask_head{k}' in self.networks:
        rows = roi.mask_rows(regions, settings)
        features = self.mask_features(forward, pyramid, rows.boxes)
        mask_logits = forward.of_occupied(f'mask_head{k}', rows.positive, features, rows.labels)
        of_stage['loss_mask'] = roi.mask_loss(mask_logits, rows, batch)
      for name, value in of_stage.items():
        losses[f'{name}_{k}'] = cascade.loss_weights[k] * value if name.startswith('loss_') else value
      scores = self.class_loss.scores(logits)
      proposals = roi.refined_regions(scores, deltas, regions, batch.image_size, settings)
    return losses, forward.new_state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """Detections in pixels of the resized image: classes by the average of the stages, boxes of the last one."""
    forward = self.forward(variables, train=False)
    pyramid = self.pyramid(forward, batch)
    proposals = self.proposals(forward, pyramid, batch)
    stages = self.stages()
    all_logits = []
    for k, settings in enumerate(stages):
      logits, deltas = forward(f'box_head{k}', self.box_features(forward, pyramid, proposals.boxes))
      all_logits.append(logits)
      if k + 1 < len(stages):
        scores = self.class_loss.scores(logits)
        refined = roi.refine(scores, deltas, proposals.boxes, batch.image_size, settings.coder)
        proposals = proposals.replace(boxes=refined)
    scores = self.average_scores(jnp.stack(all_logits))
    detections = roi.detect(scores, deltas, proposals, batch.image_size, settings.coder, self.settings.test)

    mask_heads = [network for network in self.networks if network.startswith('mask_head')]
    if not mask_heads:
      return detections
    features = self.mask_features(forward, pyramid, detections.boxes)
    logits = [forward.of_occupied(name, detections.valid, features, detections.labels) for name in mask_heads]
    masks = [jax.nn.sigmoid(x) for x in logits]
    return detections.replace(masks=sum(masks) / len(masks))

  def stages(self) -> list[FrozenConfigDict]:
    """`settings.roi` for each stage, with the values of `cascade` in their places."""
    cascade = self.settings.roi.cascade
    stages = []
    for k, (iou, weights) in enumerate(zip(cascade.ious, cascade.coder_weights, strict=True)):
      settings = ConfigDict(self.settings.roi.to_dict())
      settings.matcher.positive_iou = settings.matcher.negative_iou = iou
      settings.coder.weights = weights
      if k and not cascade.resample:
        settings.sampler.num, settings.add_ground_truth = 0, False
      stages.append(FrozenConfigDict(settings))
    return stages

  def average_scores(self, logits: Array) -> Array:
    """Scores [B, P, K] from the logits of all stages [S, B, P, C]."""
    if self.settings.roi.cascade.average == 'logits':
      return self.class_loss.scores(logits.mean(0))
    return self.class_loss.scores(logits).mean(0)
