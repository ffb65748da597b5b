"""Writes and draws a detector's results on images without annotations."""

import concurrent.futures
import functools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxdet.evaluation.image_results import image_results
from jaxdet.evaluation.inference import Place, infer, shard_over_devices
from jaxdet.evaluation.pictures import draw_results
from jaxdet.evaluation.predicted_maps import write_maps
from jaxdet.evaluation.result_names import result_names
from jaxdet.evaluation.results import detections_of_image, record_list
from jaxdet.structures import Batch, Category, Detections


def predict(
  config: ConfigDict,
  detector,
  variables: Mapping,
  categories: Sequence[Category],
  batches: Iterable[Batch],
  paths: Sequence[str],
  read_image: Callable[[str], Image.Image],
  outdir: str,
  place: Place = shard_over_devices,
) -> set[int]:
  """Writes `predictions.json` and a picture of each image into `outdir`.

  Records of `predictions.json` are in COCO's results format with 'file_name' and 'category_name' added; 'image_id' is
  the path's position. The file has all detections, pictures those with a score from `config.eval.picture_threshold`.
  A detector with a semantic task also gives the files of `write_maps`, and with merging `panoptic.json`: for each image
  'file_name', the PNG's name and its segments. Files of an image are named by `result_names`.

  Args:
    detector: has `predict(variables, batch) -> Detections`.
    categories: by label.
    batches: of NumPy arrays, on one process; `Batch.index` points into `paths`.
    paths: of the images.
    read_image: reads the RGB image of a path, turned as in `batches`.

  Returns:
    Positions in `paths` of the images that `batches` had.
  """
  os.makedirs(outdir, exist_ok=True)
  names = {category.id: category.name for category in categories}
  category_ids = list(names)
  file_names = result_names(paths)
  merging = config.model.test.get('panoptic')
  merged = {}  # entries of panoptic.json, by position in `paths`

  def one_image(batch: Batch, detections: Detections, i: int) -> list[dict]:
    index = int(batch.index[i])
    records = image_results(*detections_of_image(batch, detections, i), index, category_ids)
    drawn = [record for record in records if record['score'] >= config.eval.picture_threshold]
    photograph = np.asarray(read_image(paths[index]))
    stem, more = os.path.join(outdir, file_names[index]), {'file_name': paths[index]}
    Image.fromarray(draw_results(photograph, drawn, categories)).save(f'{stem}_detections.jpg', quality=92)
    if detections.semantic is not None:
      segments = write_maps(stem, photograph, batch, detections, i, merging, category_ids)
      if merging is not None:
        merged[index] = {
          'file_name': paths[index],
          'png': f'{file_names[index]}_panoptic.png',
          'segments_info': segments,
        }
    more = {'file_name': paths[index]}
    return [record | more | {'category_name': names[record['category_id']]} for record in records]

  done = set()
  with (
    record_list(os.path.join(outdir, 'predictions.json')) as write,
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    for batch, detections in infer(detector, variables, batches, place):
      for records in pool.map(functools.partial(one_image, batch, detections), np.flatnonzero(batch.valid)):
        for record in records:
          write(record)
      done.update(batch.index[batch.valid].tolist())
  if merged:
    with open(os.path.join(outdir, 'panoptic.json'), 'w') as file:
      json.dump([merged[index] for index in sorted(merged)], file)
  return done
