"""Inspects a split without making records: all problems for which training would refuse it, and its counts."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import tqdm

from input_pipeline import decoding, drops
from input_pipeline.image_files import ImageFiles
from jaxdet.annotations import columns
from jaxdet.annotations.columns import Annotations
from jaxdet.annotations.problems import KEPT, Problems

NO_OBJECT = 'no object to train on: crowds, ignored and dropped objects do not count'


@dataclasses.dataclass(frozen=True)
class Inspection:
  """A split as its annotation file and images have it."""

  path: str
  image_root: str
  annotations: Annotations  # without entries that have problems and objects outside their images
  counts: dict[str, int]  # of the annotations, and of images whose EXIF turn does not fit them
  problems: tuple[str, ...]  # the first KEPT of the annotations, then of the images
  num_problems: int


def read_annotations(path: str) -> tuple[Annotations, Problems]:
  """Reads an annotation file and all its problems.

  Raises:
    ValueError: the file as a whole is none.
  """
  annotations, problems = columns.examine(path)
  return drops.without_objects_outside(annotations), problems


def inspect(path: str, annotations: Annotations, problems: Problems, image_root: str) -> Inspection:
  """Checks every image file as the preparation of records does, and adds a set without objects to the problems.

  Args:
    path: of the annotation file.
    annotations: with their problems, from `read_annotations`.
    image_root: folder of the images, in any layout of `images.find`.
  """
  files = ImageFiles(image_root, annotations.file_names)
  lines, count = list(problems.lines), problems.count
  unturned = []

  def check(position: int) -> tuple[str, bool]:
    size = annotations.image_sizes[position].tolist()
    encoded, _, problem = files.load(position, *size)
    return problem, not problem and decoding.is_annotated_unturned(encoded, *size)

  found = [position for position in range(len(annotations)) if position in files]
  of_files = list(files.problems)
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    checked = tqdm.tqdm(
      pool.map(check, found), desc=f'images of {os.path.basename(path)}', total=len(found), leave=False
    )
    for position, (problem, is_unturned) in zip(found, checked, strict=True):
      if problem:
        of_files.append(problem)
      if is_unturned:
        unturned.append(position)
  counts = dict(annotations.counts)
  counts[drops.UNTURNED] = len(unturned)
  counts[drops.TURNED_BOXES] = len(drops.with_turned_boxes(annotations, unturned))
  if not has_objects(annotations):
    of_files.append(NO_OBJECT)
  return Inspection(
    path, image_root, annotations, counts, tuple((lines + of_files)[:KEPT]), num_problems=count + len(of_files)
  )


def has_objects(annotations: Annotations) -> bool:
  """Whether there is an object that is neither a crowd nor ignored."""
  rows = annotations.objects_in_image.values
  return bool(((annotations.crowds[rows] == 0) & (annotations.ignored[rows] == 0)).any())
