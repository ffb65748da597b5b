"""Converts images of any pixel format to RGB of 8 bits, as Pillow and Detectron2 do, and grey levels of 16 bits.

Alpha and colour profiles are left out, a palette is replaced by its colours, CMYK is converted without a profile.
Pillow clips grey levels of 16 bits to white: here they are scaled by their range, 65535 to 255, as OpenCV and
mmdetection do. Formats without a known range (floats, integers with a sign or of 32 bits) are refused, as by OpenCV.
"""

import numpy as np
from jaxtyping import UInt16
from PIL import Image

CONVERTED = frozenset(('1', 'L', 'P', 'LA', 'La', 'PA', 'RGB', 'RGBA', 'RGBX', 'RGBa', 'CMYK', 'YCbCr', 'LAB'))
GREY16 = frozenset(('I;16', 'I;16L', 'I;16B'))
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # of TIFF


def problem(image: Image.Image) -> str:
  """Says why an image cannot be converted, '' if it can; only its header is needed."""
  if image.mode in CONVERTED or image.mode in GREY16 or _is_pgm16(image):
    return ''
  levels = {'F': 'floating-point numbers', 'I': 'integers with a sign or of 32 bits'}.get(image.mode, image.mode)
  return f'has {levels} as grey levels, whose range is not known: save it with 8 or 16 bits a channel'


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts a decoded image that has no `problem`."""
  if image.mode in GREY16 or _is_pgm16(image):
    return Image.fromarray((_grey16(image) >> 8).astype(np.uint8)).convert('RGB')
  if image.mode == 'La':  # Pillow knows no direct way
    image = image.convert('LA')
  image.info.pop('transparency', None)  # of a palette, of which Pillow would warn
  return image if image.mode == 'RGB' else image.convert('RGB')


def _is_pgm16(image: Image.Image) -> bool:
  """Pillow's PGM reader scales levels to 65535, and stores them as 32-bit integers."""
  return image.mode == 'I' and image.format == 'PPM'


def _grey16(image: Image.Image) -> UInt16[np.ndarray, 'H W']:
  """Grey levels from 0, black, to 65535."""
  levels = np.asarray(image).astype(np.uint16)
  if image.format != 'TIFF':
    return levels
  tags = image.tag_v2
  if tags.get(BITS_PER_SAMPLE, (16,))[0] == 12:
    levels <<= 4
  return ~levels if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else levels  # Pillow inverts levels of 8 bits alone
