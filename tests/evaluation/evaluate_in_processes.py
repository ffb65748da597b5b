"""Run by test_evaluate_parallel: the oracle's evaluation as process `argv[1]` of `argv[2]`.

python evaluate_in_processes.py PROCESS PROCESSES COORDINATOR FOLDER
"""

import json
import os
import sys

import jax
from ml_collections import ConfigDict
from test_evaluate import ANNOTATIONS, CONFIG, VARIABLES, Oracle, Split

from jaxdet.evaluation import evaluate


def main(process: int, processes: int, coordinator: str, folder: str) -> None:
  if processes > 1:
    jax.distributed.initialize(coordinator, processes, process)
  path = os.path.join(folder, f'val.{process}.json')
  with open(path, 'w') as file:
    json.dump(ANNOTATIONS, file)
  split = Split(path, process, processes)
  detector = Oracle()
  metrics = evaluate(ConfigDict(CONFIG), detector, VARIABLES, split, os.path.join(folder, 'run'))
  assert detector.traces == 1
  with open(os.path.join(folder, f'returned.{process}.json'), 'w') as file:
    json.dump([metrics, jax.device_count(), jax.process_count()], file)


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
