"""Finds the annotation files of a data set's folder, and the folder of an annotation file's images."""

import glob
import os
from collections.abc import Sequence

from input_pipeline import images
from jaxdet.annotations import voc_folder

PLACES = ('', 'annotations')  # folders of annotation files below that of a data set
PATTERNS = ('*.json', '*.json.gz')
VOC_SPLITS = (('trainval',), ('train', 'val'), ('test',))  # the first two are the same images
SAMPLED = 100  # names that decide which folder has the images


def annotation_files(folder: str) -> list[str]:
  """Lists what may be annotation files of a data set: JSON files in its folder and in annotations/, splits of VOC."""
  found = []
  for place in PLACES:
    for pattern in PATTERNS:
      found += glob.glob(os.path.join(glob.escape(folder), place, pattern))
  for year in sorted(glob.glob(os.path.join(glob.escape(folder), 'VOC[0-9][0-9][0-9][0-9]'))):
    there = {
      name for names in VOC_SPLITS for name in names if os.path.exists(voc_folder.image_lists(f'{year}/{name}')[0])
    }
    both = ('trainval',) if 'trainval' in there else ('train', 'val')
    found += [f'{year}/{name}' for name in (*both, 'test') if name in there]
  return sorted(found)


def image_root(annotation_path: str, names: Sequence[str]) -> str:
  """Finds the folder below which `images.find` looks for images: that of the annotations, or the one above.

  Args:
    names: of the images, as annotated. The folder in which more of the first of them are found is taken, the one
      above if none is: annotations usually lie in a folder of their own.
  """
  if voc_folder.is_split(annotation_path):
    return os.path.dirname(os.path.dirname(annotation_path)) or '.'
  own = os.path.dirname(annotation_path) or '.'
  above = os.path.dirname(os.path.abspath(own))
  sample = list(names[:SAMPLED])

  def number_of(root: str) -> int:
    return sum(map(bool, images.find(root, sample)[0]))

  return own if number_of(own) >= max(number_of(above), 1) else above
