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
from collections.abc import Iterator

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
  """All files that `entries` reads; raises the same errors."""
  return [*image_lists(path), *(xml for xml, *_ in _images(path))]


def entries(path: str, name: str) -> Iterator[dict]:
  """Yields the entries of the list 'categories', 'images' or 'annotations', in the order of VOC's files.

  Raises:
    FileNotFoundError: a required file is missing.
    ValueError: a file is not XML, declares a document type, or lacks an element of VOC's files; a category is not
      VOC's; an image is listed twice or its name is not a number. The message names the file.
  """
  if name == 'categories':
    yield from ({'id': id, 'name': category} for category, id in CATEGORY_IDS.items())
    return
  annotation_id = 0
  for xml, file_name, image_id in _images(path):
    root = _parse(xml)
    if name == 'images':
      height, width = (int(_number(root, f'size/{side}', xml)) for side in ('height', 'width'))
      yield {'id': image_id, 'file_name': file_name, 'height': height, 'width': width}
      continue
    for element in root.findall('object'):
      annotation_id += 1
      yield {'id': annotation_id, 'image_id': image_id, **_object(element, xml)}


def _parts(path: str) -> list[tuple[str, str]]:
  """(folder of a year, name of a split) of each joined split."""
  match = SPLIT.fullmatch(path)
  names = (part.split('/') for part in match['names'].split('+'))
  return [(os.path.join(match['folder'] or '', year), name) for year, name in names]


def _images(path: str) -> list[tuple[str, str, int]]:
  """(XML file, image file below the folder of the years, id) of each image."""
  images = {}
  for (year, _), image_list in zip(_parts(path), image_lists(path), strict=True):
    if not os.path.exists(image_list):
      raise FileNotFoundError(f'no list of images {image_list}: is the folder that of the devkit?')
    with open(image_list) as f:
      lines = [line.strip() for line in f]
    for name in filter(None, lines):
      if not re.fullmatch(r'(\d{4}_)?\d+', name):
        raise ValueError(f"{image_list}: '{name}' is no image of VOC, such as 000005 or 2008_000015")
      id = int(name.replace('_', ''))
      if id in images:
        raise ValueError(f'{image_list}: image {name} is listed twice in {path}')
      xml = os.path.join(year, 'Annotations', f'{name}.xml')
      images[id] = xml, f'{os.path.basename(year)}/JPEGImages/{name}.jpg', id
  return list(images.values())


class _WithoutDocumentType(ElementTree.TreeBuilder):
  """Refuses document type declarations, which can define XML entities; VOC's files have none."""

  def doctype(self, name, pubid, system):
    raise ValueError('it declares a document type')


def _parse(xml: str) -> ElementTree.Element:
  try:
    return ElementTree.parse(xml, ElementTree.XMLParser(target=_WithoutDocumentType())).getroot()
  except FileNotFoundError:
    raise FileNotFoundError(f'no annotations {xml} of an image that its split lists') from None
  except (ElementTree.ParseError, ValueError) as error:
    raise ValueError(f"{xml} is not VOC's XML ({error}): was the download interrupted?") from error


def _object(element: ElementTree.Element, xml: str) -> dict:
  """An object's entry without ids; its parts, such as a person's head, are left out."""
  category = element.findtext('name', '').strip()
  if category not in CATEGORY_IDS:
    raise ValueError(f"{xml}: '{category}' is none of VOC's {len(NAMES)} categories")
  x1, y1, x2, y2 = (_number(element, f'bndbox/{side}', xml) for side in ('xmin', 'ymin', 'xmax', 'ymax'))
  width, height = x2 - (x1 - 1), y2 - (y1 - 1)
  return {
    'category_id': CATEGORY_IDS[category],
    'bbox': [x1 - 1, y1 - 1, width, height],
    'area': width * height,
    'ignore': int(element.find('difficult') is not None and _number(element, 'difficult', xml)),
  }


def _number(element: ElementTree.Element, path: str, xml: str) -> float:
  text = element.findtext(path)
  try:
    number = float(text)
  except (TypeError, ValueError):
    number = math.nan
  if not math.isfinite(number):
    raise ValueError(f"{xml}: '{path}' of '{element.tag}' is {text!r}, not a number")
  return number
