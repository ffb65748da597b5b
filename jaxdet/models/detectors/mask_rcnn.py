"""Fast, Faster and Mask R-CNN: regions are classified, their boxes regressed and their masks drawn, once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdet.models.detectors import roi
from jaxdet.models.detectors.forward import Losses, Variables
from jaxdet.models.detectors.rcnn import RCNN, image_keys
from jaxdet.structures import Batch, Detections


class MaskRCNN(RCNN):
  """A detector with one box head; without `mask_head` among the networks it is Faster R-CNN (Ren et al., 2015).

  Without `rpn_head` it is Fast R-CNN (Girshick, 2015), whose proposals come with the batch.
  """

  def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Losses, Variables]:
    """Losses and log values by name (those to be summed begin with `loss_`), and the new `batch_stats`.

    Args:
      variables: as `init` makes them.
      batch: B images with ground truth.
      key: chooses anchors and regions; an image's own key depends on its position in the batch alone.
    """
    forward = self.forward(variables, train=True)
    pyramid = self.pyramid(forward, batch)
    rpn_keys, roi_keys = jnp.moveaxis(jax.vmap(jax.random.split)(image_keys(key, batch)), 1, 0)
    losses, proposals = self.training_proposals(forward, pyramid, batch, rpn_keys)

    settings = self.settings.roi
    regions = roi.targets(proposals, batch, roi_keys, self.settings.num_classes, settings)
    features = self.box_features(forward, pyramid, regions.boxes)
    losses |= self.box_losses(forward, 'box_head', features, regions, batch, settings, key)[0]
    if 'mask_head' in self.networks:
      regions = roi.mask_rows(regions, settings)
      if 'shared_head' in self.networks:
        features = features[:, : regions.valid.shape[1]]
      else:
        features = self.mask_features(forward, pyramid, regions.boxes)
      logits = forward.of_occupied('mask_head', regions.positive, features, regions.labels)
      losses['loss_mask'] = roi.mask_loss(logits, regions, batch)
    return losses, forward.new_state

  def predict(self, variables: Variables, batch: Batch) -> Detections:
    """Detections in pixels of the resized image, with mask probabilities where there is a mask head."""
    forward = self.forward(variables, train=False)
    pyramid = self.pyramid(forward, batch)
    proposals = self.proposals(forward, pyramid, batch)
    logits, deltas = forward('box_head', self.box_features(forward, pyramid, proposals.boxes))
    coder, test = self.settings.roi.coder, self.settings.test
    detections = roi.detect(self.class_loss.scores(logits), deltas, proposals, batch.image_size, coder, test)
    if 'mask_head' not in self.networks:
      return detections
    features = self.mask_features(forward, pyramid, detections.boxes)
    logits = forward.of_occupied('mask_head', detections.valid, features, detections.labels)
    return detections.replace(masks=jax.nn.sigmoid(logits))
