"""Checks polygons, and how far coordinates may lie from their image."""

from collections.abc import Sequence
from typing import Any

from jaxdet.annotations.fields import Mismatch, are_numbers, finite
from jaxdet.annotations.problems import shortened

# Coordinates reach at most so far from the image's origin, in longer sides of the image and in pixels: enough for
# objects that an image cuts off. pycocotools draws every pixel of an edge: 1e7 takes gigabytes, and 1e9 is a crash.
REACH_SIDES, REACH_PIXELS = 10, 1000


def polygons(value: Any) -> list[list[float]]:
  """Checks a list of polygons [x, y, x, y, ..]; those of fewer than three points are left out."""
  if type(value) is not list:
    raise Mismatch('a list of polygons')
  kept = []
  for polygon in value:
    if type(polygon) is not list or not are_numbers(polygon):
      raise Mismatch('a list of polygons, each a list of numbers [x, y, x, y, ..]')
    if len(finite(polygon)) < 6:
      continue
    if len(polygon) % 2:
      raise Mismatch(f'an even number of coordinates in each polygon; one has {len(polygon)}')
    kept.append(polygon)
  return kept


def check_reach(coordinates: Sequence[float], size: tuple[int, int]) -> None:
  """Checks that coordinates are near an image of this (height, width)."""
  reach = REACH_PIXELS + REACH_SIDES * max(size)
  if coordinates and (max(coordinates) > reach or min(coordinates) < -reach):
    raise Mismatch(
      f'coordinates from -{reach} to {reach}, near its image of {size[0]} x {size[1]}; '
      f'one is {shortened(max(coordinates, key=abs))}'
    )
