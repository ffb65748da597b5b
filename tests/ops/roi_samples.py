"""One sample of a feature map, and regions of all kinds to take samples in."""

import numpy as np


def bilinear(feature, y, x):
  """One sample [C] of an [H, W, C] map, in float64."""
  height, width, channels = feature.shape
  if not (-1 <= y <= height and -1 <= x <= width):
    return np.zeros(channels)
  y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
  y0, x0 = int(y), int(x)
  y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
  upper = feature[y0, x0] * (x0 + 1 - x) + feature[y0, x1] * (x - x0)
  lower = feature[y1, x0] * (x0 + 1 - x) + feature[y1, x1] * (x - x0)
  return upper * (y0 + 1 - y) + lower * (y - y0)


def random_rois(rng, count, height, width):
  """RoIs of all sizes inside, across and outside an image, some elongated."""
  center = rng.uniform(-0.2, 1.2, (count, 2)) * (width, height)
  sides = np.exp(rng.uniform(np.log(0.5), np.log(1.3 * max(height, width)), (count, 2)))
  return np.concatenate([center - sides / 2, center + sides / 2], axis=-1).astype(np.float32)
