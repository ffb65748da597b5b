"""Small folders of PASCAL VOC for tests."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

# (category, (xmin, ymin, xmax, ymax) as VOC counts pixels, difficult)
VocObject = tuple[str, tuple[float, float, float, float], int]


def write_image(folder: pathlib.Path, year: str, name: str, size: tuple[int, int], objects: Sequence[VocObject]):
  """A noisy JPEG of (height, width), and its annotations."""
  root = folder / year
  for part in ('JPEGImages', 'Annotations'):
    (root / part).mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(root / 'JPEGImages' / f'{name}.jpg')
  (root / 'Annotations' / f'{name}.xml').write_text(annotation(name, size, objects))


def annotation(name: str, size: tuple[int, int], objects: Sequence[VocObject]) -> str:
  """An XML file like VOC's."""
  lines = ['<annotation>', f'\t<filename>{name}.jpg</filename>']
  lines.append(f'\t<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>')
  for category, box, difficult in objects:
    corners = ''.join(f'<{key}>{v}</{key}>' for key, v in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True))
    part = '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>'
    lines.append(
      f'\t<object>{part}<name>{category}</name><pose>Left</pose><truncated>0</truncated>'
      f'<difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>'
    )
  return '\n'.join([*lines, '</annotation>\n'])


def write_split(
  folder: pathlib.Path, year: str, split: str, images: Mapping[str, tuple[tuple[int, int], Sequence[VocObject]]]
) -> str:
  """Images by name as (size, objects), and the list of them; the split's path."""
  (folder / year / 'ImageSets' / 'Main').mkdir(parents=True, exist_ok=True)
  (folder / year / 'ImageSets' / 'Main' / f'{split}.txt').write_text(''.join(f'{name}\n' for name in images))
  for name, (size, objects) in images.items():
    write_image(folder, year, name, size, objects)
  return str(folder / year / split)
