"""Image-level labels: classes known to be present or absent."""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from input_pipeline.fields.columns import Columns
from input_pipeline.fields.field import Features, ImageField
from input_pipeline.fields.scene import Scene
from input_pipeline.resize import Size
from jaxdet.annotations.objects import ImageAnnotations


@dataclasses.dataclass(frozen=True)
class ImageLabels(ImageField):
  """Classes of the file's objects, including those outside the crop, and the image's annotated classes.

  Records also have LVIS's lists of absent and not exhaustively annotated categories; batches do not.
  """

  num_classes: int

  name = 'image_labels'
  PART = 'image'
  FEATURES = {'neg_labels': ('int64', (None,)), 'not_exhaustive_labels': ('int64', (None,))}
  OPTIONAL = {'pos_labels': ('int64', (None,))}  # older records have none

  @staticmethod
  def features(annotations: ImageAnnotations) -> Features:
    features = {name: getattr(annotations, name) for name in ImageLabels.FEATURES}
    return features if annotations.pos_labels is None else {**features, 'pos_labels': annotations.pos_labels}

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    return {name: features[name] for name in ImageLabels.FEATURES} | {'pos_labels': features.get('pos_labels')}

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    return cls(num_classes) if data.image_labels else None

  def columns(self, images: int, canvas: Size) -> Columns:
    del canvas
    return {'image_labels': np.zeros((images, self.num_classes), np.bool_)}

  def place(self, scene: Scene) -> Int[np.ndarray, 'n']:
    """Classes present in the image."""
    return np.union1d(scene.objects.labels, scene.image.pos_labels)

  def write(self, placed: Int[np.ndarray, 'n'], columns: Columns, row: int) -> None:
    columns['image_labels'][row, placed] = True
