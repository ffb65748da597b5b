"""Decodes a file's bytes to an RGB image, with Detectron2's decoder and conversions (grey, CMYK, palette)."""

import io

from PIL import Image, ImageOps

from input_pipeline.examples import Example
from input_pipeline.images import ORIENTATION
from input_pipeline.resize import Size


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


def decode(encoded: bytes, name: str, annotated_size: Size | None = None) -> Image.Image:
  """Decodes a file's bytes (JPEG, PNG or any format of Pillow) to an RGB image, rotated by its EXIF orientation.

  Args:
    name: of the file, for the error.
    annotated_size: (height, width) of the annotations; an image that has this size only before rotation was annotated
      unrotated, and is not rotated.

  Raises:
    ValueError: the bytes are not an image, or cut off.
  """
  try:
    image = Image.open(io.BytesIO(encoded))
    image.load()
    upright = image.getexif().get(ORIENTATION, 1) == 1
    turned = image if upright else ImageOps.exif_transpose(image)  # it would copy upright images too
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    raise ValueError(f'cannot decode image {name}: {error}') from error
  as_stored = annotated_size == (image.height, image.width) != (turned.height, turned.width)
  image = image if as_stored else turned
  return image if image.mode == 'RGB' else image.convert('RGB')
