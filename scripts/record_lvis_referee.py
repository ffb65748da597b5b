"""Records the metrics that the `lvis` package computes of small random data, for tests/evaluation.

  pip install lvis==0.5.3 && python scripts/record_lvis_referee.py

Writes inputs.json.gz and metrics.npz below tests/data/lvis_referee, so that the tests need neither the package nor what
comes with it. The inputs are kept too, since NumPy may draw other numbers in a later version.
"""

import contextlib
import gzip
import io
import json
import pathlib
import sys
import tempfile
import types

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'tests' / 'data' / 'lvis_referee'
LIMIT = 300  # detections of an image, by the lvis protocol


def import_lvis() -> types.ModuleType:
  """Imports the package without its drawings, which alone need OpenCV, and OpenCV needs libraries of the system."""
  drawings = types.ModuleType('lvis.vis')
  drawings.LVISVis = None
  sys.modules.setdefault('lvis.vis', drawings)
  vars(np)['float'] = float  # removed from NumPy, but lvis 0.5.3 needs it
  import lvis

  return lvis


def metrics(data: dict, records: list[dict], iou_type: str, max_dets: int) -> dict[str, np.ndarray]:
  """Computes what the package says: precision [T, R, K, A], recall [T, K, A], and the summary's numbers; -1: none.

  Args:
    data: a file in LVIS format.
    records: results of a detector.
    iou_type: 'bbox' or 'segm'.
    max_dets: detections of an image; -1: all.
  """
  lvis = import_lvis()
  data, records = json.loads(json.dumps([data, records]))  # the package changes them
  if iou_type == 'segm':
    for record in records:
      del record['bbox']
  with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
    json.dump(data, file)
    file.flush()
    truth = lvis.LVIS(file.name)
  evaluator = lvis.LVISEval(truth, lvis.LVISResults(truth, records, max_dets), iou_type)
  evaluator.params.max_dets = max_dets
  with contextlib.redirect_stdout(io.StringIO()):
    evaluator.run()
  summary = np.array(list(evaluator.results.values()))
  return {'precision': evaluator.eval['precision'], 'recall': evaluator.eval['recall'], 'summary': summary}


def main() -> None:
  import metric_case

  inputs = {f'random {seed}': metric_case.synthetic(seed) for seed in range(25)}
  inputs['crowded'] = metric_case.crowded_image()
  found = {}
  for name, (data, records) in inputs.items():
    for iou_type in ('bbox', 'segm'):
      found[f'{name}/{iou_type}'] = metrics(data, records, iou_type, LIMIT)
  for seed in range(12):
    data, records = inputs[f'random {seed}']
    best = metric_case.best_of_each_category(records, metric_case.fixed_limit(seed))
    for iou_type in ('bbox', 'segm'):
      found[f'fixed {seed}/{iou_type}'] = metrics(data, best, iou_type, -1)
  FOLDER.mkdir(exist_ok=True)
  (FOLDER / 'inputs.json.gz').write_bytes(gzip.compress(json.dumps(inputs).encode(), mtime=0))
  arrays = {f'{case}/{name}': array for case, of_case in found.items() for name, array in of_case.items()}
  np.savez_compressed(FOLDER / 'metrics.npz', **arrays)


if __name__ == '__main__':
  sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'evaluation')]
  main()
