"""One image and its objects, as it lies in a record.

The record is a tf.train.Example with the names below, so that TFDS, tf.data and Grain can read it too.
JPEG bytes are those of the file, polygons are float, boxes are (x1, y1, x2, y2) in pixels of the file.
"""

import dataclasses

import numpy as np
from jaxtyping import Int64

from input_pipeline import tf_example
from jaxdet.annotations.objects import Objects

# The record's features: name, kind, and shape of what is stored flat. N objects, P polygons, F coordinates.
FEATURES = {
  'image/encoded': ('bytes', ()),
  'image/id': ('int64', ()),
  'image/height': ('int64', ()),
  'image/width': ('int64', ()),
  'image/file_name': ('bytes', ()),
  'objects/label': ('int64', (None,)),
  'objects/bbox': ('float32', (None, 4)),
  'objects/area': ('float32', (None,)),
  'objects/crowd': ('int64', (None,)),
  'objects/ignore': ('int64', (None,)),
  'objects/polygons_per_object': ('int64', (None,)),
  'objects/polygon_lengths': ('int64', (None,)),
  'objects/polygon_points': ('float32', (None,)),
  'objects/rle': ('bytes', (None,)),
  'neg_labels': ('int64', (None,)),
  'not_exhaustive_labels': ('int64', (None,)),
}


@dataclasses.dataclass(frozen=True)
class Example:
  """An image file's bytes and what is known of the image."""

  encoded: bytes  # JPEG or PNG
  image_id: int
  height: int
  width: int
  file_name: str  # as found below the image folder, such as 'val2017/000000397133.jpg'
  objects: Objects
  neg_labels: Int64[np.ndarray, 'n']  # categories known to be absent (LVIS)
  not_exhaustive_labels: Int64[np.ndarray, 'm']  # categories of which not every object is annotated (LVIS)


def serialize(example: Example) -> bytes:
  """The record of an example."""
  objects = example.objects
  return tf_example.encode(
    {
      'image/encoded': [example.encoded],
      'image/id': np.array([example.image_id]),
      'image/height': np.array([example.height]),
      'image/width': np.array([example.width]),
      'image/file_name': [example.file_name.encode()],
      'objects/label': objects.labels,
      'objects/bbox': objects.boxes,
      'objects/area': objects.areas,
      'objects/crowd': objects.crowds,
      'objects/ignore': objects.ignored,
      'objects/polygons_per_object': objects.polygons_per_object,
      'objects/polygon_lengths': objects.polygon_lengths,
      'objects/polygon_points': objects.polygon_points,
      'objects/rle': objects.rle,
      'neg_labels': example.neg_labels,
      'not_exhaustive_labels': example.not_exhaustive_labels,
    }
  )


def parse(record: bytes) -> Example:
  """The example of a record; arrays may be read-only.

  Raises:
    ValueError: the bytes are no such record.
  """
  features = tf_example.decode(record)
  missing = FEATURES.keys() - features.keys()
  if missing:
    raise ValueError(f'record without {sorted(missing)}: prepared by another program? Delete the records folder')
  return Example(
    encoded=features['image/encoded'][0],
    image_id=int(features['image/id'][0]),
    height=int(features['image/height'][0]),
    width=int(features['image/width'][0]),
    file_name=features['image/file_name'][0].decode(),
    objects=Objects(
      labels=features['objects/label'],
      boxes=features['objects/bbox'].reshape(-1, 4),
      areas=features['objects/area'],
      crowds=features['objects/crowd'],
      ignored=features['objects/ignore'],
      polygons_per_object=features['objects/polygons_per_object'],
      polygon_lengths=features['objects/polygon_lengths'],
      polygon_points=features['objects/polygon_points'],
      rle=features['objects/rle'],
    ),
    neg_labels=features['neg_labels'],
    not_exhaustive_labels=features['not_exhaustive_labels'],
  )
