"""Computes the sizes of resized images, and resizes them.

Pixels are resampled by Pillow's bilinear filter on uint8, which averages when shrinking, as in Detectron2, so grey
levels are the same as there. TensorFlow's antialiased resize differs by one grey level in one pixel of seven and takes
twice the time; OpenCV's (mmdetection) does not antialias.
"""

import os

import numpy as np
from PIL import Image

# Pillow keeps freed memory for the next images: fetching fresh pages costs as much as the resize itself.
Image.core.set_blocks_max(4 * os.cpu_count())

Size = tuple[int, int]  # (height, width) in pixels


def shortest_edge_size(size: Size, shortest: int, longest: int) -> Size:
  """Size with a shorter side of `shortest`, or less if the longer side would exceed `longest`.

  Rounded half up, as Detectron2's ResizeShortestEdge.
  """
  height, width = size
  scale = shortest / min(height, width)
  # The shorter side is set, not multiplied: upstream's rounding depends on it.
  resized = (float(shortest), scale * width) if height < width else (scale * height, float(shortest))
  if max(resized) > longest:
    scale = longest / max(resized)
    resized = (resized[0] * scale, resized[1] * scale)
  return _at_least_one(int(resized[0] + 0.5), int(resized[1] + 0.5))


def inside_size(size: Size, canvas: Size, scale: float = 1.0) -> Size:
  """Largest size of the same aspect ratio that fits into `scale` times the canvas.

  Rounded to nearest even, as Detectron2's ResizeScale ("large scale jitter", Ghiasi et al. 2021).
  """
  factor = min(canvas[0] * scale / size[0], canvas[1] * scale / size[1])
  return _at_least_one(round(size[0] * factor), round(size[1] * factor))


def resize(image: Image.Image, size: Size, offset: Size = (0, 0), crop: Size | None = None) -> Image.Image:
  """Resizes an image to `size`, or makes only the part of size `crop` at `offset` (y, x) of the resized image.

  The cost of a part is that of its pixels. It equals the same part of the whole up to rounding, since Pillow keeps the
  part's borders in float32.
  """
  if crop is None or crop == size:
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
  scale_y, scale_x = image.height / size[0], image.width / size[1]
  (top, left), (height, width) = offset, crop
  box = (
    left * scale_x,
    top * scale_y,
    min((left + width) * scale_x, image.width),
    min((top + height) * scale_y, image.height),
  )
  return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def random_offset(size: Size, crop: Size, fraction: float) -> Size:
  """Offset (y, x) of a part of size `crop`: `fraction`, 0 to 1, of the free range along both axes.

  One fraction for both axes, as Detectron2's FixedSizeCrop.
  """
  spare = np.maximum(np.subtract(size, crop), 0)
  return tuple(np.round(spare * fraction).astype(int).tolist())


def _at_least_one(height: int, width: int) -> Size:
  return max(height, 1), max(width, 1)
