"""Writes and draws a detector's results on images without annotations."""

import collections
import concurrent.futures
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxdet.evaluation.image_results import image_results
from jaxdet.evaluation.inference import Place, infer, shard_over_devices
from jaxdet.evaluation.pictures import Picture, draw_results, image_of
from jaxdet.evaluation.predicted_maps import write_maps
from jaxdet.evaluation.results import detections_of_image, record_list
from jaxdet.structures import Batch, Category, Detections


def predict(
  config: ConfigDict,
  detector,
  variables: Mapping,
  categories: Sequence[Category],
  batches: Iterable[Batch],
  paths: Sequence[str],
  outdir: str,
  place: Place = shard_over_devices,
) -> str:
  """Writes `predictions.json` and a picture of each image into `outdir`; returns the path of the former.

  Records of `predictions.json` are in COCO's results format with 'file_name' and 'category_name' added; 'image_id' is
  the path's position. The file has all detections, pictures those with a score from `config.eval.picture_threshold`.
  A detector with a semantic task also gives the files of `write_maps`, and with merging `panoptic.json`: for each image
  'file_name', the PNG's name and its segments.

  Args:
    detector: has `predict(variables, batch) -> Detections`.
    categories: by label.
    batches: of NumPy arrays, on one process; `Batch.index` points into `paths`.
    paths: of the images.
  """
  os.makedirs(outdir, exist_ok=True)
  names = {category.id: category.name for category in categories}
  category_ids = list(names)
  stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
  unique = {stem for stem, times in collections.Counter(stems).items() if times == 1}

  merging = config.model.test.get('panoptic')
  merged = {}  # entries of panoptic.json, by position in `paths`

  def one_image(batch: Batch, detections: Detections, i: int) -> list[dict]:
    index = int(batch.index[i])
    records = image_results(*detections_of_image(batch, detections, i), index, category_ids)
    drawn = [record for record in records if record['score'] >= config.eval.picture_threshold]
    photograph = _photograph(paths[index], batch, i)
    name = stems[index] if stems[index] in unique else f'{stems[index]}_{index}'
    stem = os.path.join(outdir, name)
    Image.fromarray(draw_results(photograph, drawn, categories)).save(f'{stem}_detections.jpg', quality=92)
    if detections.semantic is not None:
      segments = write_maps(stem, photograph, batch, detections, i, merging, category_ids)
      if merging is not None:
        merged[index] = {'file_name': paths[index], 'png': f'{name}_panoptic.png', 'segments_info': segments}
    more = {'file_name': paths[index]}
    return [record | more | {'category_name': names[record['category_id']]} for record in records]

  path = os.path.join(outdir, 'predictions.json')
  with record_list(path) as write, concurrent.futures.ThreadPoolExecutor() as pool:
    for batch, detections in infer(detector, variables, batches, place):
      for records in pool.map(functools.partial(one_image, batch, detections), np.flatnonzero(batch.valid)):
        for record in records:
          write(record)
  if merged:
    with open(os.path.join(outdir, 'panoptic.json'), 'w') as file:
      json.dump([merged[index] for index in sorted(merged)], file)
  return path


def _photograph(path: str, batch: Batch, i: int) -> Picture:
  """The file's image, or that of the batch if the file was decoded in another orientation."""
  image = np.asarray(Image.open(path).convert('RGB'))
  return image if image.shape[:2] == tuple(batch.original_size[i]) else image_of(batch, i)
