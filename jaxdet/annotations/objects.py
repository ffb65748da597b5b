"""The annotations of one image, as they lie in columns and in records."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Int64


@dataclasses.dataclass(frozen=True)
class ImageAnnotations:
  """Annotations of an image as a whole."""

  neg_labels: Int64[np.ndarray, 'n']  # categories known to be absent (LVIS)
  not_exhaustive_labels: Int64[np.ndarray, 'm']  # categories of which not every object is annotated (LVIS)
  pos_labels: Int64[np.ndarray, 'k'] | None = None  # categories present, with or without objects; None: not annotated
  files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)  # companion files of the image, by feature


@dataclasses.dataclass(frozen=True)
class Objects:
  """N objects of one image, in the order of the annotation file.

  An object has polygons, or a run-length encoding (COCO's crowds), or only a box (VOC).
  """

  labels: Int64[np.ndarray, 'N']  # positions in the category table
  boxes: Float32[np.ndarray, 'N 4']  # xyxy, pixels of the file
  areas: Float32[np.ndarray, 'N']  # of the mask, from the annotation file
  crowds: Int64[np.ndarray, 'N']  # 1: a group of objects, which training leaves out
  ignored: Int64[np.ndarray, 'N']  # 1: marked by 'ignore', such as VOC's difficult objects
  polygons_per_object: Int64[np.ndarray, 'N']
  polygon_lengths: Int64[np.ndarray, 'P']  # coordinates of each polygon: twice its points
  polygon_points: Float32[np.ndarray, 'F']  # x, y, x, y, ...
  rle: list[bytes]  # N of COCO's compressed counts, over the file's height x width; b'': none
  keypoints: Float32[np.ndarray, 'N P 3'] | None = None  # (x, y, visibility), as in the file; None: there are none

  def polygons(self) -> list[list[np.ndarray]]:
    """Polygons of each object, float32 [points, 2]; views of `polygon_points`."""
    ends = np.cumsum(self.polygon_lengths)
    parts = [
      self.polygon_points[end - length : end].reshape(-1, 2)
      for end, length in zip(ends.tolist(), self.polygon_lengths.tolist(), strict=True)
    ]
    last = np.cumsum(self.polygons_per_object).tolist()
    return [parts[end - count : end] for end, count in zip(last, self.polygons_per_object.tolist(), strict=True)]
