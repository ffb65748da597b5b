"""Reads PASCAL VOC's folders VOC2007, VOC2012, .. as the lists of an annotation file in COCO's format.

A split is named 'VOC2007/test', joined splits 'VOC2007/trainval+VOC2012/trainval'. Its path is this name below the
folder with the years (the devkit's VOCdevkit).

Boxes are Detectron2's: VOC counts pixels from 1 and includes the last, so an object covers (xmin - 1, ymin - 1, xmax,
ymax). mmdetection subtracts 1 from all four, so every box ends a pixel earlier. 'difficult' becomes 'ignore'. An
image's id is its name as a number, 7 for 000007 and 2008000015 for 2008_000015.
"""

import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterator

from jaxdet.annotations.problems import Problems, shortened
from jaxdet.annotations.text_file import open_text

# The order of both Detectron2 and mmdetection.
NAMES = (
  *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
  *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)
CATEGORY_IDS = {name: id for id, name in enumerate(NAMES, start=1)}

SPLIT = re.compile(r'(?:(?P<folder>.*)/)?(?P<names>VOC\d{4}/\w+(\+VOC\d{4}/\w+)*)')


def is_split(path: str) -> bool:
  """True if this is the path of a split of VOC; the files need not exist."""
  return SPLIT.fullmatch(path) is not None


def image_lists(path: str) -> list[str]:
  """Files that list the images of a split, one per joined split."""
  return [os.path.join(year, 'ImageSets', 'Main', f'{name}.txt') for year, name in _parts(path)]


def files(path: str) -> list[str]:
  """All files that `entries` reads; raises an error if a list is missing or names what is no image."""
  problems = Problems(path)
  images = _images(path, problems)
  problems.raise_if_any()
  return [*image_lists(path), *(xml for xml, *_ in images)]


def entries(path: str, names: Collection[str], problems: Problems) -> Iterator[tuple[str, dict]]:
  """Yields (name, entry) of the lists `names` ('categories', 'images', 'annotations'), in the order of VOC's files.

  An image or an object is left out, and added to `problems`, if its file is missing or not XML, declares a document
  type, or lacks an element of VOC's files, if its category is not VOC's, or if its image is listed twice or its name is
  not a number. Files as a whole are judged with 'images'.

  Raises:
    FileNotFoundError: a list of images is missing.
  """
  if 'categories' in names:
    yield from (('categories', {'id': id, 'name': category}) for category, id in CATEGORY_IDS.items())
  if not {'images', 'annotations'} & set(names):
    return
  of_files = problems if 'images' in names else Problems(path)  # told once
  annotation_id = 0
  for xml, file_name, image_id in _images(path, of_files):
    try:
      root = _parse(xml)
      height, width = (_side(root, f'size/{side}') for side in ('height', 'width'))
    except _Fault as fault:
      of_files.add(f'{xml}: {fault}')
      continue
    if 'images' in names:
      yield 'images', {'id': image_id, 'file_name': file_name, 'height': height, 'width': width}
    for element in root.findall('object') if 'annotations' in names else ():
      annotation_id += 1
      try:
        yield 'annotations', {'id': annotation_id, 'image_id': image_id, **_object(element)}
      except _Fault as fault:
        problems.add(f'{xml}: {fault}')


def _parts(path: str) -> list[tuple[str, str]]:
  """(folder of a year, name of a split) of each joined split."""
  match = SPLIT.fullmatch(path)
  names = (part.split('/') for part in match['names'].split('+'))
  return [(os.path.join(match['folder'] or '', year), name) for year, name in names]


def _images(path: str, problems: Problems) -> list[tuple[str, str, int]]:
  """(XML file, image file below the folder of the years, id) of each image."""
  images = {}
  for (year, _), image_list in zip(_parts(path), image_lists(path), strict=True):
    if not os.path.exists(image_list):
      raise FileNotFoundError(f'no list of images {image_list}: is the folder that of the devkit?')
    with open_text(image_list) as f:
      lines = [line.strip() for line in f]
    for name in filter(None, lines):
      if not re.fullmatch(r'([0-9]{4}_)?[0-9]{1,12}', name):
        problems.add(f"{image_list}: {shortened(name)} is no image of VOC, such as '000005' or '2008_000015'")
        continue
      id = int(name.replace('_', ''))
      if id in images:
        problems.add(f'{image_list}: image {name} is listed twice in {path}, or another of its number')
        continue
      xml = os.path.join(year, 'Annotations', f'{name}.xml')
      images[id] = xml, f'{os.path.basename(year)}/JPEGImages/{name}.jpg', id
  return list(images.values())


class _Fault(ValueError):
  """Something in an XML file is not VOC's; the message says what."""


class _WithoutDocumentType(ElementTree.TreeBuilder):
  """Refuses document type declarations, which can define XML entities; VOC's files have none."""

  def doctype(self, name, pubid, system):
    raise ValueError('it declares a document type')


def _parse(xml: str) -> ElementTree.Element:
  try:
    return ElementTree.parse(xml, ElementTree.XMLParser(target=_WithoutDocumentType())).getroot()
  except FileNotFoundError:
    raise _Fault('there is no such file, for an image that its split lists') from None
  except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: of an unknown encoding
    raise _Fault(f"it is not VOC's XML ({error}): was the download interrupted?") from error


def _object(element: ElementTree.Element) -> dict:
  """An object's entry without ids; its parts, such as a person's head, are left out."""
  category = element.findtext('name', '').strip()
  if category not in CATEGORY_IDS:
    raise _Fault(f"{shortened(category)} is none of VOC's {len(NAMES)} categories")
  x1, y1, x2, y2 = (_number(element, f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax'))
  width, height = x2 - (x1 - 1), y2 - (y1 - 1)
  difficult = _number(element, 'difficult') if element.find('difficult') is not None else 0
  if difficult not in (0, 1):
    raise _Fault(f"'difficult' of 'object' is {difficult:g}: expected 0 or 1")
  return {
    'category_id': CATEGORY_IDS[category],
    'bbox': [x1 - 1, y1 - 1, width, height],
    'area': max(width, 0) * max(height, 0),
    'ignore': int(difficult),
  }


def _side(element: ElementTree.Element, path: str) -> int:
  number = _number(element, path)
  if not (number > 0 and number.is_integer()):
    raise _Fault(f"'{path}' of '{element.tag}' is {number:g}: expected a positive integer, in pixels")
  return int(number)


def _number(element: ElementTree.Element, path: str) -> float:
  text = element.findtext(path)
  if text is None:
    raise _Fault(f"'{element.tag}' has no '{path}'")
  try:
    number = float(text)
  except ValueError:
    number = math.nan
  if not math.isfinite(number):
    raise _Fault(f"'{path}' of '{element.tag}' is {shortened(text)}, not a number")
  return number
