"""Checks run lengths of masks, COCO's format, and compresses them.

Run lengths are pixels outside and inside the mask in turn, column by column, and must add up to height x width:
pycocotools decodes a shorter list to memory that nobody wrote, and others beyond the end of their mask. The
compressed text holds each in digits of five bits, from the third on as the difference from the last but one.
"""

from typing import Any

import numpy as np
from jaxtyping import Int64
from pycocotools import mask as coco_mask

from jaxdet.annotations.fields import Mismatch, count, side
from jaxdet.annotations.json_stream import RepeatedKeys

FIRST, MORE, SIGN = 48, 0x20, 0x10  # of a digit: its character for 0, the bit that another follows, the sign bit
MOST_DIGITS = 7  # of a run length below 2**32
PIXELS = 2**31  # fewer pixels than this in a mask


def size(value: Any) -> tuple[int, int]:
  """Checks the field 'size' of run lengths: (height, width)."""
  if type(value) is not list or len(value) != 2:
    raise Mismatch('a list of height and width')
  height, width = (side(each) for each in value)
  if height * width >= PIXELS:
    raise Mismatch(f'a mask of less than {PIXELS} pixels')
  return height, width


def compressed(value: Any) -> tuple[tuple[int, int], bytes]:
  """Checks run lengths {"size": [height, width], "counts": list or compressed text}.

  Returns:
    (height, width), and the counts as compressed text.

  Raises:
    Mismatch: the value is something else, or its counts do not add up.
  """
  if type(value) is not dict or isinstance(value, RepeatedKeys) or not {'size', 'counts'} <= value.keys():
    raise Mismatch('{"size": [height, width], "counts": ..}')
  height, width = size(value['size'])
  counts = value['counts']
  if type(counts) is list:
    lengths = np.array([count(each) for each in counts], np.int64)
    _check_total(lengths, height, width)
    runs = {'size': [height, width], 'counts': lengths.tolist()}
    return (height, width), coco_mask.frPyObjects(runs, height, width)['counts']
  if type(counts) is bytes:
    packed = counts
  elif type(counts) is str and counts.isascii():
    packed = counts.encode()
  else:
    raise Mismatch('counts as a list or as compressed text')
  _check_total(uncompressed(packed), height, width)
  return (height, width), packed


def _check_total(lengths: Int64[np.ndarray, 'R'], height: int, width: int) -> None:
  if (total := sum(lengths.tolist())) != height * width:
    raise Mismatch(f'counts that add up to {height} x {width} = {height * width}; these add up to {total}')


def uncompressed(counts: bytes) -> Int64[np.ndarray, 'R']:
  """Run lengths of compressed text.

  Raises:
    Mismatch: it is not the format's, is cut off, or has a negative length.
  """
  digits = np.frombuffer(counts, np.uint8).astype(np.int64) - FIRST
  last = digits & MORE == 0
  if ((digits < 0) | (digits >= 2 * MORE)).any() or not last[-1:].all():
    raise Mismatch('whole compressed counts')
  ends = np.flatnonzero(last)
  starts = np.concatenate([[0], ends + 1])[:-1]
  place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
  if place.max(initial=0) >= MOST_DIGITS:
    raise Mismatch('counts below 2**32')
  values = np.zeros(0, np.int64) if not len(ends) else np.add.reduceat((digits & MORE - 1) << 5 * place, starts)
  negative = digits[ends] & SIGN != 0
  values -= negative.astype(np.int64) << 5 * (place[ends] + 1)
  values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
  if (values < 0).any():
    raise Mismatch('counts that are not negative')
  return values
