"""Sums of compressed run lengths: of masks, and of texts that are none."""

import numpy as np
import pytest
from pycocotools import mask as rle_codec

from jaxdet.annotations.fields import Mismatch
from jaxdet.annotations.run_lengths import FIRST, MORE, SIGN, total, totals


def masks(count):
  """Compressed run lengths of random masks, and their pixels."""
  random = np.random.default_rng(0)
  for _ in range(count):
    mask = random.random(random.integers(1, 60, 2)) < random.choice([0, 0.02, 0.5, 1])
    mask = np.kron(mask, np.ones(random.integers(1, 9, 2)))
    yield rle_codec.encode(np.asfortranarray(mask, np.uint8))['counts'], mask.size


def slow_total(text):
  """As the format's description says it; None: refused."""
  lengths, digits = [], []
  for character in text:
    digits.append(character - FIRST)
    if not 0 <= digits[-1] < 64 or len(digits) > 6:
      return None
    if not digits[-1] & MORE:
      value = sum((digit % MORE) * 32**place for place, digit in enumerate(digits))
      value -= 32 ** len(digits) * bool(digits[-1] & SIGN)
      lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
      digits = []
  return None if digits or min(lengths, default=0) < 0 else sum(lengths)


def test_lengths_of_a_mask_add_up_to_its_pixels():
  texts, pixels = zip(*masks(200), strict=True)
  assert [total(text) for text in texts] == totals(texts).tolist() == list(pixels)


def test_spoilt_texts_have_another_sum_or_none():
  random = np.random.default_rng(1)
  texts = [b'', b'0', b'o' * 9 + b'0']
  for text, _ in masks(600):
    spoilt = bytearray(text[:200])
    for _ in range(random.integers(1, 4)):
      at = random.integers(len(spoilt) + 1)
      spoilt[at : at + random.integers(0, 30)] = bytes(random.integers(40, 118, random.integers(0, 4)).tolist())
    texts.append(bytes(spoilt))
  expected = [slow_total(text) for text in texts]
  assert totals(texts).tolist() == [-1 if value is None else value for value in expected]
  for text, value in zip(texts, expected, strict=True):
    if value is None:
      with pytest.raises(Mismatch):
        total(text)
    else:
      assert total(text) == value and totals([text]).tolist() == [value]
  assert 100 < sum(value is None for value in expected) < 500


def test_no_texts_have_no_sums():
  assert totals([]).tolist() == [] and totals([b'', b'']).tolist() == [0, 0]
