"""Annotation files as people and programs spoil them: good ones, changed by chance in values, entries and bytes."""

import copy
import gzip
import json
import re
import traceback
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from pycocotools import mask as rle_codec

import annotation_files
from jaxdet.annotations import columns
from jaxdet.annotations.json_stream import LacksLists
from jaxdet.evaluation.ground_truth import load_ground_truth, run_lengths

HEIGHT, WIDTH = 12, 10  # of the images with run lengths
STRANGE = (
  *(None, True, False, 0, 1, -1, 2, 1.5, 7.0, -0.0, 1e7, 1e9, -1e9, 1e39, 1e308, 10**30, 2**63, 2**31, 65537),
  *(float('nan'), float('inf'), float('-inf'), '', '7', '-3', '1.5', ' 7', '70', 'x', 'Ω', '\ud800', 'a\0b', 'b' * 500),
  *([], {}, [None], [[]], [1, 2], [1, 2, 3, 4], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6]], [{}], {'id': 1}, [[[[[[]]]]]]),
)


def coco() -> dict:
  """A file of COCO's with polygons, boxes alone, run lengths as a list and as text, crowds and keypoints."""
  counts = [30, 5, 85]
  packed = rle_codec.frPyObjects({'size': [HEIGHT, WIDTH], 'counts': counts}, HEIGHT, WIDTH)['counts'].decode()
  masks = (
    [[1, 1, 5, 1, 5, 5], [2.5, 2, 8, 2, 8, 7, 2, 7]],
    [],
    {'size': [HEIGHT, WIDTH], 'counts': counts},
    {'size': [HEIGHT, WIDTH], 'counts': packed},
  )
  return {
    'images': [{'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH} for i in (0, 7)],
    'annotations': [
      {
        **{'id': i, 'image_id': 7 * (i % 2), 'category_id': 1 + i % 2, 'bbox': [1, 1, 4.5, 4], 'area': 8.0},
        **{'segmentation': mask, 'iscrowd': int(i == 3), 'keypoints': [1, 2, 2, 0, 0, 0] if i % 2 else []},
      }
      for i, mask in enumerate(masks)
    ],
    'categories': [{'id': 1, 'name': 'ant'}, {'id': 2, 'name': 'cow', 'supercategory': 'animal'}],
  }


def places(value: Any) -> list[tuple[Any, Any]]:
  """(container, key or position) of everything inside a value."""
  found = []
  for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
    found.append((value, key))
    if isinstance(inner, dict | list):
      found += places(inner)
  return found


def _replace(draw: Callable, container: Any, key: Any) -> None:
  container[key] = copy.deepcopy(draw(st.sampled_from(STRANGE)))


def _remove(draw: Callable, container: Any, key: Any) -> None:
  del container[key]


def _as_text(draw: Callable, container: Any, key: Any) -> None:
  if not isinstance(container[key], dict | list):
    container[key] = str(container[key])


def _repeat(draw: Callable, container: Any, key: Any) -> None:
  if isinstance(container, list):
    container.insert(key, copy.deepcopy(container[key]))


def _scale(draw: Callable, container: Any, key: Any) -> None:
  if type(container[key]) in (int, float):
    container[key] *= draw(st.sampled_from((-1, 0, 0.5, 1.0, 3, 1000, 1e6)))


def _cut_text(draw: Callable, container: Any, key: Any) -> None:
  if isinstance(container[key], str):
    container[key] = container[key][: draw(st.integers(0, 5))] + draw(st.sampled_from(('', '0', 'P', 'o', '~', "'")))


def _exchange(draw: Callable, container: Any, key: Any) -> None:
  other = draw(st.sampled_from([k for c, k in places(container) if c is container]))
  container[key], container[other] = container[other], container[key]


CHANGES = (_replace, _remove, _as_text, _repeat, _scale, _cut_text, _exchange)


def _spoil_bytes(draw: Callable, data: bytes) -> bytes:
  at = draw(st.integers(0, len(data)))
  way = draw(st.sampled_from(('cut', 'change', 'insert', 'remove', 'BOM', 'UTF-16', 'gzip', 'cut gzip', 'twice')))
  if way == 'cut':
    return data[:at]
  if way == 'change':
    return data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
  if way == 'insert':
    return (
      data[:at]
      + draw(st.sampled_from((b',', b'"', b'[' * 3000, b'{', b']', b'\xe9', b'\0', b'NaN', b'1' * 5000)))
      + data[at:]
    )
  if way == 'remove':
    return data[:at] + data[at + draw(st.integers(1, 40)) :]
  if way == 'BOM':
    return b'\xef\xbb\xbf' + data
  if way == 'UTF-16':
    return data.decode('utf-8', 'replace').encode('utf-16')
  if way == 'twice':  # a key of an object
    keys = [match.span() for match in re.finditer(rb'"\w+": (?=[\d"])', data)]
    begin, end = draw(st.sampled_from(keys)) if keys else (0, 0)
    return data[:begin] + data[begin:end] + b'3, ' * bool(keys) + data[begin:]
  packed = gzip.compress(data)
  return packed if way == 'gzip' else packed[: at % len(packed)]


@st.composite
def annotation_bytes(draw: Callable) -> bytes:
  """The bytes of a file: good, with up to three changes of its content, and perhaps spoilt as text or bytes."""
  content = draw(st.sampled_from((annotation_files.lvis, coco)))()
  for _ in range(draw(st.integers(0, 3))):
    spots = places(content)
    if spots:
      container, key = draw(st.sampled_from(spots))
      draw(st.sampled_from(CHANGES))(draw, container, key)
  data = json.dumps(content).encode()
  return _spoil_bytes(draw, data) if draw(st.booleans()) and draw(st.booleans()) else data


def verdict(read: Callable[[str], Any], path: str) -> tuple[str, str]:
  """('accepted', ''), ('refused', message), or ('unclear', traceback) where the error is none of the reader's."""
  try:
    read(path)
  except (ValueError, FileNotFoundError) as error:
    if path in str(error) and type(error) in (ValueError, LacksLists, FileNotFoundError):
      return 'refused', str(error)
    return 'unclear', traceback.format_exc()
  except Exception:
    return 'unclear', traceback.format_exc()
  return 'accepted', ''


def train(path: str) -> None:
  """Reads a file as training does, with the objects of all images."""
  split = columns.read(path)
  for i in range(len(split)):
    split.objects(i).polygons()


def evaluate(path: str) -> None:
  """Reads a file as evaluation does, with all masks as run lengths, which cover no more than their image."""
  truth = load_ground_truth(path)
  for image, segmentation in zip(truth.image, truth.segmentations, strict=True):
    if segmentation is not None:
      height, width = truth.image_sizes[image].tolist()
      assert rle_codec.area(run_lengths(segmentation, height, width)) <= height * width
