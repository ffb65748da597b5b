"""Decodes a file's bytes to an RGB image, with Detectron2's decoder and conversions (grey, CMYK, palette)."""

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from input_pipeline.resize import Size

ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 exchange width and height


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


def check(encoded: bytes, height: int, width: int) -> str:
  """Checks an image file: it must decode completely, at the annotated size; returns the error, '' if there is none.

  The annotated size may be that of the stored pixels, or of the image rotated by its EXIF orientation.
  """
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      stored = image.size[::-1]
      turned = stored[::-1] if image.getexif().get(ORIENTATION, 1) >= 5 else stored
      if (height, width) not in (stored, turned):
        return f'is {stored[0]} x {stored[1]} pixels, annotated as {height} x {width}'
      image.draft(None, (width // 8, height // 8))  # reads the whole JPEG, but decodes it at an eighth of the size
      image.load()
  except UnidentifiedImageError:
    return 'is not an image'
  except (OSError, SyntaxError, ValueError) as error:
    return f'does not decode: {error}'
  return ''
