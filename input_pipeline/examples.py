"""One image and its annotations, as stored in a record.

A record is a tf.train.Example with the features below and those of every kind of annotation (fields/), so that TFDS,
tf.data and Grain can read it too. JPEG bytes are the file's, polygons are float, boxes are (x1, y1, x2, y2) in pixels
of the file.
"""

import dataclasses

import numpy as np
from PIL import Image

from input_pipeline import tf_example
from input_pipeline.decoding import decode
from input_pipeline.fields.table import KINDS
from input_pipeline.resize import Size
from jaxdet.annotations.objects import ImageAnnotations, Objects

# Features of a record: name, type, and shape of the flat array. N objects, P polygons, F coordinates.
FEATURES = {
  'image/encoded': ('bytes', ()),
  'image/id': ('int64', ()),
  'image/height': ('int64', ()),
  'image/width': ('int64', ()),
  'image/file_name': ('bytes', ()),
  **{name: feature for kind in KINDS.values() for name, feature in kind.FEATURES.items()},
}
OPTIONAL = {name: feature for kind in KINDS.values() for name, feature in kind.OPTIONAL.items()}


@dataclasses.dataclass(frozen=True)
class Example:
  """The bytes of an image file, and the image's annotations."""

  encoded: bytes  # JPEG or PNG
  image_id: int
  height: int
  width: int
  file_name: str  # as found below the image folder, such as 'val2017/000000397133.jpg'
  objects: Objects
  image: ImageAnnotations

  @property
  def size(self) -> Size:
    return self.height, self.width


def serialize(example: Example) -> bytes:
  """Encodes an example as a record."""
  return tf_example.encode(features_of(example))


def features_of(example: Example) -> dict[str, np.ndarray | list[bytes]]:
  """All features of an example's record: FEATURES, and those of OPTIONAL that its annotations have."""
  features = {
    'image/encoded': [example.encoded],
    'image/id': np.array([example.image_id]),
    'image/height': np.array([example.height]),
    'image/width': np.array([example.width]),
    'image/file_name': [example.file_name.encode()],
  }
  for kind in KINDS.values():
    features |= kind.features(getattr(example, kind.PART))
  return features


def parse(record: bytes) -> Example:
  """Decodes a record to an example; arrays may be read-only.

  Raises:
    ValueError: the bytes are not such a record.
  """
  features = tf_example.decode(record)
  missing = FEATURES.keys() - features.keys()
  if missing:
    raise ValueError(f'record without {sorted(missing)}: prepared by another program? Delete the records folder')
  parts = {'objects': {}, 'image': {}}
  for kind in KINDS.values():
    parts[kind.PART] |= kind.read(features)
  return Example(
    encoded=features['image/encoded'][0],
    image_id=int(features['image/id'][0]),
    height=int(features['image/height'][0]),
    width=int(features['image/width'][0]),
    file_name=features['image/file_name'][0].decode(),
    objects=Objects(**parts['objects']),
    image=ImageAnnotations(**parts['image']),
  )


def decode_example(example: Example) -> Image.Image:
  """Decodes the RGB image of a record.

  Raises:
    ValueError: the image is broken, or its size differs from the annotation file.
  """
  name, size = f"'{example.file_name}' (id {example.image_id})", (example.height, example.width)
  image = decode(example.encoded, name, size)
  if (image.height, image.width) != size:
    raise ValueError(
      f'image {name} has {image.height} x {image.width} pixels, the annotation file says {size[0]} x {size[1]}'
    )
  return image
