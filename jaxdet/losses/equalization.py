"""Equalization loss (Tan et al., 2020): positive RoIs of other classes are not negatives of the tail classes."""

from jaxtyping import Array, Bool, Float, Int

from jaxdet.losses.weighted_sigmoid import is_label, weighted_sigmoid_loss


def tail_classes(image_counts: Int[Array, 'K'], num_images: int, below: float = 0.00177) -> Bool[Array, 'K']:
  """True for classes in less than a share `below` of the training images.

  Upstream's shares are 0.00177 for LVIS v0.5, and 0.0010062 for LVIS v1 with DropLoss.
  """
  return image_counts < below * num_images


def equalization_loss(
  logits: Float[Array, '*B R C'], labels: Int[Array, '*B R'], valid: Bool[Array, '*B R'], tail: Bool[Array, 'K']
) -> Float[Array, '']:
  """Binary cross entropy summed over classes, without positive RoIs as negatives of the tail; the mean over RoIs.

  The weight of class j is 1 - E(r) T(f_j) (1 - y_j): E is 1 for positive and 0 for background RoIs, T is 1 in the tail.

  Args:
    logits, labels, valid: see regions.py; a background column is unused, upstream has none.
    tail: as `tail_classes` gives it.
  """
  num_classes = tail.shape[0]
  is_foreground = (labels < num_classes)[..., None]
  ignored = is_foreground & tail & ~is_label(labels, num_classes)
  return weighted_sigmoid_loss(logits[..., :num_classes], labels, valid, 1.0 - ignored)
