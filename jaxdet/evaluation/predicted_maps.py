"""Writes the semantic and the panoptic map of an image without annotations, and a picture of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from jaxdet.annotations import panoptic
from jaxdet.evaluation.panoptic_result import panoptic_result, semantic_result
from jaxdet.ops.panoptic_merge import Segment
from jaxdet.structures import Batch, Detections
from jaxdet.visualization.draw import Picture, colour
from jaxdet.visualization.draw_map import draw_map

STUFF_COLOURS = 1000  # added to a stuff class, so that its colour is not that of the first things


def write_maps(
  stem: str,
  photograph: Picture,
  batch: Batch,
  detections: Detections,
  image: int,
  merging: Mapping[str, float] | None,
  category_ids: Sequence[int],
) -> list[dict[str, Any]]:
  """Writes the maps of a detector with a semantic task.

  `<stem>_semantic.png` has the class of every pixel. `<stem>_panoptic.png`, if instances are merged, has segment ids in
  COCO's encoding. `<stem>_map.jpg` shows the segments, or otherwise the classes, over the image.

  Args:
    stem: path of the files without their endings.
    photograph: image of the file, in the file's pixels.
    batch, detections: NumPy arrays.
    image: position in the batch.
    merging: `config.model.test.panoptic`, for `panoptic_result`; None: a semantic map alone.
    category_ids: by label of instances.

  Returns:
    Segments of the panoptic map, as COCO's `segments_info` with `isthing` and `score`; `category_id` of stuff is its
    class in the semantic map. [] without a panoptic map.
  """
  semantic = semantic_result(batch, detections, image)
  Image.fromarray(semantic.astype(np.uint8 if semantic.max() < 256 else np.uint16)).save(f'{stem}_semantic.png')
  if merging is None:
    shades = {int(value): colour(STUFF_COLOURS + int(value)) for value in np.unique(semantic)}
    _save(f'{stem}_map.jpg', draw_map(photograph, semantic, shades))
    return []
  ids, segments = panoptic_result(batch, detections, image, semantic, merging)
  panoptic.write_ids(f'{stem}_panoptic.png', ids)
  _save(f'{stem}_map.jpg', draw_map(photograph, ids, {each.id: _shade(each) for each in segments}))
  return [
    {
      'id': each.id,
      'isthing': int(each.is_thing),
      'category_id': int(category_ids[each.label]) if each.is_thing else int(each.label),
      'score': float(each.score),
      'area': int(each.area),
    }
    for each in segments
  ]


def _shade(segment: Segment) -> tuple[int, int, int]:
  """Colour of a segment: every instance has its own, stuff that of its class."""
  return colour(segment.id if segment.is_thing else STUFF_COLOURS + segment.label)


def _save(path: str, picture: Picture) -> None:
  Image.fromarray(picture).save(path, quality=92)
