"""Selects images of a prepared split by a file of ids, with their records."""

import dataclasses
import json
import os
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Int64

from input_pipeline.records import Records
from jaxdet.annotations.fields import Fields, Mismatch, integer, text
from jaxdet.annotations.json_stream import json_entries
from jaxdet.annotations.problems import Problems, shortened
from jaxdet.annotations.text_file import open_text
from jaxdet.structures import Category


@dataclasses.dataclass(frozen=True)
class RecordsOfImages:
  """Records of V images of a split; position i is image `rows[i]` of the split."""

  records: Records
  rows: Int[np.ndarray, 'V']

  @property
  def categories(self) -> tuple[Category, ...]:
    return self.records.categories

  @property
  def annotations(self) -> str:
    """Digest of the annotation file's bytes."""
    return self.records.annotations

  @property
  def image_ids(self) -> Int64[np.ndarray, 'V']:
    return self.records.image_ids[self.rows]

  @property
  def image_sizes(self) -> Int[np.ndarray, 'V 2']:
    """(height, width) of each file, int32."""
    return self.records.image_sizes[self.rows]

  @property
  def file_names(self) -> tuple[str, ...]:
    return tuple(self.records.file_names[row] for row in self.rows)

  def read(self, indices: list[int]) -> list[bytes]:
    """Reads the records of these images, in this order."""
    return self.records.read(self.rows[indices])


def images_of_file(records: Records, path: str) -> RecordsOfImages:
  """Selects the images of a file of ids (see `read_image_ids`), in the split's order.

  Raises:
    FileNotFoundError, ValueError: the file cannot be read, or names an image that is not in the split.
  """
  wanted = read_image_ids(path)
  strange = wanted[~np.isin(wanted, records.image_ids)]
  if len(strange):
    some = ', '.join(map(str, strange[:5]))
    raise ValueError(
      f"{len(strange)} of the {len(wanted)} image ids in {path} (eval.image_ids) are not in split '{records.split}' "
      f'of {len(records)} images, among them {some}. They are not left out silently: name images of this split alone'
    )
  return RecordsOfImages(records, np.flatnonzero(np.isin(records.image_ids, wanted)))


def read_image_ids(path: str) -> Int64[np.ndarray, 'V']:
  """Reads the image ids of a file, ascending, each once.

  The file is a JSON list of ids, a text file with one id per line, or an annotation file in LVIS or COCO format, whose
  images are used; each also packed with gzip.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has another format, or no image.
  """
  if not os.path.exists(path):
    raise FileNotFoundError(f'no file of image ids {path}: see eval.image_ids')
  with open_text(path) as file:
    first = file.read(1024).lstrip()[:1]
  if first == '{':
    problems = Problems(path)
    ids = [fields.required('id', integer) for fields in _images(path, problems)]
    problems.raise_if_any()
  else:
    ids = _listed_ids(path, is_json=first == '[')
  if not ids:
    raise ValueError(f'{path} names no image')
  return np.unique(np.asarray(ids, np.int64))


def _listed_ids(path: str, is_json: bool) -> list[int]:
  with open_text(path) as file:
    try:
      words = json.load(file) if is_json else file.read().split()
    except (json.JSONDecodeError, RecursionError) as error:
      raise ValueError(f'{path} is no JSON list of image ids: {error}') from None
  ids, problems = [], Problems(path)
  for word in words:
    try:
      ids.append(integer(word))
    except Mismatch:
      problems.add(f'{shortened(word)} is no image id: write a JSON list of image ids, or one in each line')
  problems.raise_if_any()
  return ids


def coco_val_ids(path: str) -> list[int]:
  """Ids of an LVIS annotation file's images that are from COCO's val2017 by 'coco_url', in the file's order.

  Raises:
    ValueError: an image has no 'coco_url', or no image is from val2017.
  """
  ids, problems = [], Problems(path)
  for fields in _images(path, problems):
    id, url = fields.required('id', integer), fields.required('coco_url', text)
    if fields.good and url.split('/')[-2:-1] == ['val2017']:
      ids.append(id)
  problems.raise_if_any()
  if not ids:
    raise ValueError(f"{path} has no image of COCO's val2017")
  return ids


def _images(path: str, problems: Problems) -> Iterator[Fields]:
  """Yields the fields of the images of an annotation file."""
  for position, (_, entry) in enumerate(json_entries(path, ('images',))):
    yield Fields(entry, 'image', position, problems)
