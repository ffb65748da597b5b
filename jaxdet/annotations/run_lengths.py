"""Checks run lengths of masks, COCO's format, and compresses them.

Run lengths are pixels outside and inside the mask in turn, column by column, and must add up to height x width:
pycocotools decodes a shorter list to memory that nobody wrote, and others beyond the end of their mask. The
compressed text holds each in digits of five bits, from the third on as the difference from the last but one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from pycocotools import mask as coco_mask

from jaxdet.annotations.fields import Mismatch, count, side

FIRST, MORE, SIGN = 48, 0x20, 0x10  # of a digit: its character for 0, the bit that another follows, the sign bit
MOST_BITS = 30  # of a run length in compressed text, with its sign: pycocotools shifts 32-bit integers
PIXELS = 2**28  # at most, of an image: pycocotools reserves four bytes a pixel for a union, and does not check it


def size(value: Any) -> tuple[int, int]:
  """Checks the field 'size' of run lengths: (height, width)."""
  if type(value) is not list or len(value) != 2:
    raise Mismatch('a list of height and width')
  height, width = (side(each) for each in value)
  if height * width > PIXELS:
    raise Mismatch(f'a height and width of at most {PIXELS} pixels together')
  return height, width


def compressed(value: Any) -> tuple[tuple[int, int], bytes]:
  """Checks run lengths {"size": [height, width], "counts": list or compressed text}.

  Returns:
    (height, width), and the counts as compressed text.

  Raises:
    Mismatch: the value is something else, or its counts do not add up.
  """
  if type(value) is not dict or not {'size', 'counts'} <= value.keys():
    raise Mismatch('{"size": [height, width], "counts": ..}')
  height, width = size(value['size'])
  counts = value['counts']
  if type(counts) is list:
    lengths = [count(each) for each in counts]
    _check_total(sum(lengths), height, width)
    runs = {'size': [height, width], 'counts': lengths}
    return (height, width), coco_mask.frPyObjects(runs, height, width)['counts']
  if type(counts) is bytes:
    packed = counts
  elif type(counts) is str and counts.isascii():
    packed = counts.encode()
  else:
    raise Mismatch('counts as a list or as compressed text')
  _check_total(total(packed), height, width)
  return (height, width), packed


def _check_total(total: int, height: int, width: int) -> None:
  if total != height * width:
    raise Mismatch(f'counts that add up to {height} x {width} = {height * width}; these add up to {total}')


def total(text: bytes) -> int:
  """Adds up the run lengths of compressed text.

  Raises:
    Mismatch: it has other characters, is cut off, or has a negative run length.
  """
  result = last_but_one = last = value = shift = index = 0
  for character in text:
    digit = character - FIRST
    if not 0 <= digit < 2 * MORE:
      raise Mismatch(f'compressed counts, which have no character {chr(character)!r}')
    value |= (digit & MORE - 1) << shift
    shift += 5
    if shift > MOST_BITS:
      raise Mismatch(f'counts below 2**{MOST_BITS - 1}')
    if digit & MORE:
      continue
    if digit & SIGN:
      value -= 1 << shift
    if index > 2:
      value += last_but_one
    if value < 0:
      raise Mismatch('counts from 0')
    result += value
    last_but_one, last = last, value
    index += 1
    value = shift = 0
  if shift:
    raise Mismatch('whole compressed counts; these are cut off')
  return result


def totals(texts: Sequence[bytes]) -> Int64[np.ndarray, 'N']:
  """Adds up the run lengths of many compressed texts at once, as `total`; -1 for those that it refuses."""
  result = np.zeros(len(texts), np.int64)
  filled = np.flatnonzero([len(text) for text in texts])
  if not len(filled):
    return result
  stops = np.cumsum([len(text) for text in texts if text])
  digits = np.frombuffer(b''.join(texts), np.uint8) - np.uint8(FIRST)  # wraps around below
  refused = np.zeros(len(filled), bool)
  refused[np.searchsorted(stops, np.flatnonzero(digits >= 2 * MORE), 'right')] = True
  refused |= digits[stops - 1] & MORE != 0
  digits[stops - 1] &= MORE - 1  # so that a text that is cut off does not reach into the next

  last = np.flatnonzero(digits & MORE == 0)  # digit of each run length
  length = np.diff(last, prepend=-1)
  first = last - length + 1
  values = (digits[first] & MORE - 1).astype(np.int64)
  refused[np.searchsorted(stops, last[5 * length > MOST_BITS], 'right')] = True
  for place in range(1, MOST_BITS // 5):
    rows = np.flatnonzero(length > place)
    values[rows] |= (digits[first[rows] + place] & MORE - 1).astype(np.int64) << 5 * place
  signed = np.flatnonzero(digits[last] & SIGN)
  values[signed] -= np.int64(1) << np.minimum(5 * length[signed], MOST_BITS)

  # Sums of every second value over all texts, less the sums at which the text's two series begin.
  ends = np.searchsorted(last, stops)
  starts = np.concatenate([[0], ends[:-1]])
  sums = np.empty_like(values)
  sums[::2], sums[1::2] = np.cumsum(values[::2]), np.cumsum(values[1::2])
  before = np.stack([sums[starts], np.where(starts > 0, sums[starts - 1], 0)], axis=1)
  text = np.repeat(np.arange(len(starts)), ends - starts)
  runs = sums - before[text, np.arange(len(values)) - starts[text] & 1]
  runs[starts] = values[starts]
  refused[text[runs < 0]] = True
  result[filled] = np.where(refused, -1, np.add.reduceat(runs, starts))
  return result
