"""Selects images of a prepared split by a file of ids, with their records."""

import dataclasses
import json
import os
import pathlib

import numpy as np
from jaxtyping import Int, Int64

from input_pipeline.records import Records
from jaxdet.annotations.json_stream import items
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

  The file is a JSON list of ids, a text file with one id per line, or an annotation file in LVIS or COCO format (also
  packed with gzip), whose images are used.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file has another format, or no image.
  """
  if not os.path.exists(path):
    raise FileNotFoundError(f'no file of image ids {path}: see eval.image_ids')
  with open(path, 'rb') as file:
    first = file.read(1024).lstrip()[:1]
  if first == b'{' or path.endswith('.gz'):
    ids = [image.get('id') for image in items(path, 'images')]
  else:
    try:
      content = pathlib.Path(path).read_text()
      ids = json.loads(content) if first == b'[' else [int(word) for word in content.split()]
    except ValueError as error:
      raise ValueError(f'{path} is neither a JSON list of image ids nor a text file with one a line: {error}') from None
  wrong = [id for id in ids if type(id) is not int]
  if wrong:
    raise ValueError(f'{path} holds what is no image id, such as {str(wrong[0])[:100]}')
  if not ids:
    raise ValueError(f'{path} names no image')
  return np.unique(np.asarray(ids, np.int64))


def coco_val_ids(path: str) -> list[int]:
  """Ids of an LVIS annotation file's images that are from COCO's val2017 by 'coco_url', in the file's order.

  Raises:
    ValueError: an image has no 'coco_url', or no image is from val2017.
  """
  ids = []
  for image in items(path, 'images'):
    if 'coco_url' not in image:
      raise ValueError(
        f"{path}: image {image.get('id')} has no 'coco_url', which says where LVIS v1's images come from"
      )
    if image['coco_url'].split('/')[-2:-1] == ['val2017']:
      ids.append(image['id'])
  if not ids:
    raise ValueError(f"{path} has no image of COCO's val2017")
  return ids
