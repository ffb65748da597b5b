"""Which classes an image is known to hold, or not to hold."""

from typing import Any, Self

from ml_collections import ConfigDict

from input_pipeline.fields.field import Features, ImageField
from jaxdet.annotations.objects import ImageAnnotations


class ImageLabels(ImageField):
  """LVIS's judgements on categories, which are in records; batches have none of them."""

  name = 'image_labels'
  PART = 'image'
  FEATURES = {'neg_labels': ('int64', (None,)), 'not_exhaustive_labels': ('int64', (None,))}

  @staticmethod
  def features(annotations: ImageAnnotations) -> Features:
    return {name: getattr(annotations, name) for name in ImageLabels.FEATURES}

  @staticmethod
  def read(features: Features) -> dict[str, Any]:
    return {name: features[name] for name in ImageLabels.FEATURES}

  @classmethod
  def of(cls, data: ConfigDict, num_classes: int) -> Self | None:
    del data, num_classes
    return None
