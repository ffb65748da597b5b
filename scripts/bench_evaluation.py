"""Measures time and memory of the LVIS metrics, here and in the `lvis` package.

  python scripts/bench_evaluation.py ANNOTATIONS [--referee]
  python scripts/bench_evaluation.py --generate 19809 [--folder FOLDER] [--referee] [--json FILE]

Detections are drawn at random around the objects of an annotation file, 300 per image; with --generate annotations of
so many images with LVIS's statistics are drawn too (see generated_lvis.py). Both are files in FOLDER, by default a
temporary one; existing files are used again. Each measurement runs in its own process. Prints the time from files to
metrics, with its two parts, and the peak memory of the process.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import resource
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def write_files(annotations: str, results: str, generated: int, detections: int) -> None:
  """Draws missing files."""
  from jaxdet.evaluation.results import record_list
  from scripts import generated_lvis

  if generated and not os.path.exists(annotations):
    generated_lvis.write_annotations(annotations, generated_lvis.annotations(generated))
  if not os.path.exists(results):
    with open(annotations) as file:
      content = json.load(file)
    with record_list(f'{results}.partial') as write:
      for records in generated_lvis.detections(content, detections):
        for record in records:
          write(record)
    os.replace(f'{results}.partial', results)


def measure(program: str, annotations: str, results: str, iou_type: str) -> dict:
  """Measures seconds, the number of results, AP, and the peak memory of this process."""
  reading, scoring, count, value = {'jaxdet': score, 'lvis': score_by_referee}[program](annotations, results, iou_type)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  return {
    'program': program,
    'iou_type': iou_type,
    'results': count,
    'seconds': round(reading + scoring, 2),
    'reading_seconds': round(reading, 2),
    'scoring_seconds': round(scoring, 2),
    'peak_gib': round(peak, 2),
    'AP': value,
  }


def score(annotations: str, results: str, iou_type: str) -> tuple[float, float, int, float]:
  """Scores by jaxdet; returns (seconds of reading, seconds of scoring, number of results, AP)."""
  from jaxdet.evaluation.average_precision import average_precision
  from jaxdet.evaluation.ground_truth import load_ground_truth
  from jaxdet.evaluation.results import read_results
  from jaxdet.evaluation.selection import PROTOCOLS, read_for, select

  start = time.perf_counter()
  truth, protocol = load_ground_truth(annotations), PROTOCOLS['lvis']
  table = read_for(truth, read_results(results), protocol)
  read = time.perf_counter()
  value = average_precision(truth, select(truth, table, protocol), protocol, iou_type).summary()['AP']
  return read - start, time.perf_counter() - read, len(table.scores), value


def score_by_referee(annotations: str, results: str, iou_type: str) -> tuple[float, float, int, float]:
  """Scores by the `lvis` package; returns the same as `score`."""
  from scripts.record_lvis_referee import import_lvis

  lvis = import_lvis()
  start = time.perf_counter()
  truth = lvis.LVIS(annotations)
  with open(results) as file:
    records = json.load(file)
  if iou_type == 'segm':
    for record in records:
      del record['bbox']
  detections = lvis.LVISResults(truth, records)
  read = time.perf_counter()
  evaluator = lvis.LVISEval(truth, detections, iou_type)
  evaluator.run()
  return read - start, time.perf_counter() - read, len(records), evaluator.results['AP']


def alone(function, *arguments):
  """Runs the function in its own process, and returns its result."""
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
    return process.submit(function, *arguments).result()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('annotations', nargs='?', help='a file in LVIS format')
  parser.add_argument('--generate', type=int, default=0, metavar='IMAGES', help='draw annotations of so many images')
  parser.add_argument('--detections', type=int, default=300, help='an image')
  parser.add_argument('--folder', help='of the drawn files')
  parser.add_argument('--iou_types', default='bbox,segm')
  parser.add_argument('--referee', action='store_true', help='the lvis package too')
  parser.add_argument('--json', help='a file to which a line is appended')
  arguments = parser.parse_args()
  if bool(arguments.annotations) == bool(arguments.generate):
    parser.error('give an annotation file, or --generate IMAGES')

  from scripts.figures import report

  with tempfile.TemporaryDirectory() as temporary:
    folder = arguments.folder or temporary
    os.makedirs(folder, exist_ok=True)
    name = str(arguments.generate or pathlib.Path(arguments.annotations).stem)
    annotations = arguments.annotations or os.path.join(folder, f'{name}_annotations.json')
    results = os.path.join(folder, f'{name}_results_{arguments.detections}.json')
    alone(write_files, annotations, results, arguments.generate, arguments.detections)
    for iou_type in arguments.iou_types.split(','):
      for program in ('jaxdet', 'lvis') if arguments.referee else ('jaxdet',):
        figures = alone(measure, program, annotations, results, iou_type)
        report('evaluation', figures, ('pycocotools', 'lvis'), arguments.json)


if __name__ == '__main__':
  sys.path.insert(0, str(ROOT))
  main()
