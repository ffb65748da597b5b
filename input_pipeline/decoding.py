"""Decodes an image file, alike for training, evaluation and prediction, and says why a file cannot be used.

The format is found from the bytes, not from the name. Of an animation or of several pages the first image is used. EXIF
data that cannot be parsed are left out, as by Detectron2. An image of more than twice Image.MAX_IMAGE_PIXELS (179
million) is refused before its pixels take memory.
"""

import functools
import io
import warnings
from typing import BinaryIO

from absl import logging
from PIL import ExifTags, Image, UnidentifiedImageError

from input_pipeline import pixel_formats
from input_pipeline.resize import Size

# Images of up to twice the size at which Pillow warns are read: its warning asks for nothing that a user could do.
warnings.simplefilter('ignore', Image.DecompressionBombWarning)

ORIENTATION = ExifTags.Base.Orientation  # 1 is upright; 5 to 8 exchange width and height
TO_UPRIGHT = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
FROM_UPRIGHT = TO_UPRIGHT | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
DRAWINGS = ('EPS', 'WMF')  # Pillow would start another program for them
PAGE_KIND, THUMBNAIL, INNER_PAGES = 254, 1, 330  # of TIFF


class _Unusable(Exception):
  """The reason, as the end of a sentence that begins with the file."""


def decode(encoded: bytes, name: str, annotated_size: Size | None = None) -> Image.Image:
  """Decodes a file's bytes to an RGB image, turned upright by its EXIF orientation.

  Args:
    name: of the file, for messages.
    annotated_size: (height, width) of the annotations; an image that has this size only before it is turned was
      annotated as stored, and is not turned.

  Raises:
    ValueError: the bytes are no image, damaged, or of a kind that is refused; the message has the name and the reason.
  """
  try:
    image = _open_image(io.BytesIO(encoded))
    stored, upright, orientation = _load(image)
  except _Unusable as reason:
    raise _cannot_decode(name, reason) from reason
  if orientation is None:
    _warn_of_exif(name)
  as_stored = annotated_size == stored != upright
  if image.format == 'TIFF':  # Pillow has turned it already
    turns = FROM_UPRIGHT if as_stored else {}
  else:
    turns = {} if as_stored else TO_UPRIGHT
  image = pixel_formats.to_rgb(image)
  return image.transpose(turns[orientation]) if orientation in turns else image


def check(encoded: bytes, height: int, width: int) -> str:
  """Checks an image's file: `decode` must read it, at the annotated size; returns the problem, '' if there is none.

  The annotated size may be that of the stored pixels, or of the image turned by its EXIF orientation.
  """
  return check_map(encoded, height, width) or pixel_formats.problem(_open(io.BytesIO(encoded)))


def check_map(encoded: bytes, height: int, width: int) -> str:
  """Checks a file of numbers, such as classes: as `check`, but any pixel format will do."""
  try:
    image = _open(io.BytesIO(encoded))
    stored, upright, _ = _load(image, eighth=True)
  except _Unusable as reason:
    return str(reason)
  if (height, width) not in (stored, upright):
    return f'is {stored[0]} x {stored[1]} pixels, annotated as {height} x {width}'
  return ''


def upright_size(file: BinaryIO, name: str) -> Size:
  """Reads the size of the image that `decode` makes of a file; of most formats only the header is read.

  Raises:
    ValueError: as `decode`, as far as the header tells.
  """
  try:
    image = _open_image(file)
    return _sizes(image, _orientation(image))[1]
  except _Unusable as reason:
    raise _cannot_decode(name, reason) from reason


def _open_image(file: BinaryIO) -> Image.Image:
  """Reads the header of an image that can be converted to RGB."""
  image = _open(file)
  if problem := pixel_formats.problem(image):
    raise _Unusable(problem)
  return image


def _open(file: BinaryIO) -> Image.Image:
  """Reads the header of an image of any pixel format."""
  try:
    image = Image.open(file)
    thumbnail = image.format == 'TIFF' and image.tag_v2.get(PAGE_KIND, 0) & THUMBNAIL
    thumbnail = thumbnail and (INNER_PAGES in image.tag_v2 or image.n_frames > 1)
  except UnidentifiedImageError as error:
    empty = not file.seek(0, io.SEEK_END)
    raise _Unusable('is empty' if empty else 'is not an image, or of a kind that Pillow does not read') from error
  except Image.DecompressionBombError as error:
    found = str(error).partition(',')[0]
    raise _Unusable(f'is too large to be read ({found}): cut it into tiles, or make it smaller') from error
  except Exception as error:  # Pillow raises whatever its parsers meet: struct.error, KeyError, ..
    raise _Unusable(_does_not_decode(error)) from error
  if image.format in DRAWINGS:
    raise _Unusable(f'is a drawing ({image.format}), not an image of pixels: save it as PNG')
  if thumbnail:
    raise _Unusable('begins with a thumbnail of another page (a camera raw file?): save that page alone')
  return image


def _load(image: Image.Image, eighth: bool = False) -> tuple[Size, Size, int | None]:
  """Decodes the pixels; returns the sizes stored and upright, and the orientation.

  Args:
    eighth: read a JPEG to its end, but decode it at an eighth of its size, which is faster.
  """
  size = image.size
  tiff = image.format == 'TIFF'
  orientation = _orientation(image) if tiff else None  # it is lost when the pixels are decoded
  try:
    if eighth:
      image.draft(None, (max(size[0] // 8, 1), max(size[1] // 8, 1)))
    image.load()
  except Exception as error:  # as above
    raise _Unusable(_does_not_decode(error)) from error
  if not tiff:
    orientation = _orientation(image)  # PNG has it before or after the pixels
  return *_sizes(image, orientation, size), orientation


def _orientation(image: Image.Image) -> int | None:
  """EXIF orientation, 1 if there is none or no such one, None if the EXIF data are damaged."""
  try:
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in TO_UPRIGHT else 1
  except Exception:  # as above
    return None


def _sizes(image: Image.Image, orientation: int | None, size: tuple[int, int] | None = None) -> tuple[Size, Size]:
  """(height, width) of the stored pixels and of the upright image; `size` is (width, height) of the header."""
  width, height = size or image.size
  given, exchanged = (height, width), (width, height)
  if orientation is None or orientation < 5:
    return given, given
  return (exchanged, given) if image.format == 'TIFF' else (given, exchanged)  # Pillow exchanges a TIFF's


def _does_not_decode(error: Exception) -> str:
  return f'does not decode: {str(error) or type(error).__name__}'


def _cannot_decode(name: str, reason: _Unusable) -> ValueError:
  return ValueError(f'cannot decode image {name}: it {reason}')


@functools.lru_cache(maxsize=4096)
def _warn_of_exif(name: str) -> None:
  """Warns once for a name."""
  logging.warning('%s: its EXIF data are damaged, so it is used as it is stored', name)
