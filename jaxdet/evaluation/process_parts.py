"""What each process of a job counted, brought together in a folder that all of them share.

Through files, since counts of pixels are larger than the 32-bit integers of collectives.
"""

import json
import os
from typing import Any

import jax

from jaxdet.evaluation.evaluator import barrier


def gather(folder: str, part: Any) -> list[Any]:
  """The parts of all processes in order, on the first one; [] on the others.

  Args:
    folder: of the files; removed if nothing else is in it.
    part: this process's, of what JSON has.
  """
  os.makedirs(folder, exist_ok=True)
  paths = [os.path.join(folder, f'{process}.json') for process in range(jax.process_count())]
  with open(paths[jax.process_index()], 'w') as file:
    json.dump(part, file)
  barrier(f'parts in {folder}')
  if jax.process_index():
    return []
  parts = []
  for path in paths:
    with open(path) as file:
      parts.append(json.load(file))
    os.remove(path)
  os.rmdir(folder)
  return parts
