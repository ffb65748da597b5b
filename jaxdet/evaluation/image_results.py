"""Converts one image's detections to records of COCO's and LVIS's results format.

Run as a program this is a worker: it answers each pickled task on its input with pickled lines of JSON. It imports only
NumPy and pycocotools, so that it starts quickly.
"""

import json
import pickle
import signal
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxdet.ops.image_masks import encode_image_masks
from jaxdet.ops.paste import paste_and_encode

MASK_THRESHOLD = 0.5  # of pasted probabilities


def image_results(
  boxes: Float[np.ndarray, 'K 4'],
  scores: Float[np.ndarray, 'K'],
  labels: Int[np.ndarray, 'K'],
  masks: Float[np.ndarray, 'K h w'] | None,
  covered: tuple[int, int] | None,
  image_size: Int[np.ndarray, '2'],
  original_size: Int[np.ndarray, '2'],
  image_id: int,
  category_ids: Sequence[int],
) -> list[dict]:
  """Converts detections on the canvas to records: boxes (x, y, width, height) in file pixels, masks as run lengths.

  As in Detectron2, boxes are scaled by original / resized along each axis and clipped to the image, and empty boxes are
  dropped.

  Args:
    masks: probabilities on grids of cells.
    covered: (height, width) on the canvas that these grids cover; None: each grid covers its box.
    image_size: (height, width) on the canvas.
    original_size: (height, width) of the file.
    category_ids: by label.
  """
  boxes = rescale(boxes, image_size, original_size)
  kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
  boxes = boxes[kept]
  corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
  results = [
    {'image_id': image_id, 'category_id': int(category_ids[label]), 'bbox': box, 'score': score}
    for label, box, score in zip(labels[kept].tolist(), corners_and_sizes.tolist(), scores[kept].tolist(), strict=True)
  ]
  if masks is not None:
    height, width = map(int, original_size)
    if covered is None:
      pasted = paste_and_encode(masks[kept], boxes, height, width, MASK_THRESHOLD)
    else:
      extent = covered[0] * height / image_size[0], covered[1] * width / image_size[1]
      pasted = encode_image_masks(masks[kept], boxes, extent, height, width, MASK_THRESHOLD)
    for result, mask in zip(results, pasted, strict=True):
      result['segmentation'] = mask | {'counts': mask['counts'].decode()}  # JSON has no bytes
  return results


def rescale(
  boxes: Float[np.ndarray, 'K 4'], image_size: Int[np.ndarray, '2'], original_size: Int[np.ndarray, '2']
) -> Float[np.ndarray, 'K 4']:
  """Rescales boxes (x1, y1, x2, y2) of the resized image to file pixels, clipped to the image; in float32."""
  height, width = (float(v) for v in original_size)
  scale = np.asarray([width / image_size[1], height / image_size[0]] * 2, np.float32)
  limit = np.asarray([width, height] * 2, np.float32)
  return np.clip(np.asarray(boxes, np.float32) * scale, 0, limit)


def results_lines(*task) -> str:
  """Formats `image_results` in lines of JSON: the image's id and number of records, then one record per line."""
  records = image_results(*task)
  return ''.join(f'{json.dumps(line)}\n' for line in ({'image_id': task[7], 'records': len(records)}, *records))


def serve() -> None:
  """Answers tasks until the input ends; an exception is sent as the answer."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the main program, which ends the input
  source, target = sys.stdin.buffer, sys.stdout.buffer
  sys.stdout = sys.stderr
  while True:
    try:
      task = pickle.load(source)
    except EOFError:
      return
    try:
      answer = results_lines(*task)
    except Exception as error:
      answer = error
    pickle.dump(answer, target)
    target.flush()


if __name__ == '__main__':
  serve()
