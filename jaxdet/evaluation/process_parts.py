"""Gathers the counts of all processes of a job through files in a shared folder.

Files, since counts of pixels do not fit the 32-bit integers of collectives.
"""

import json
import os
from typing import Any

import jax

from jaxdet.evaluation.evaluator import barrier


def gather(folder: str, part: Any) -> list[Any]:
  """Gathers the parts of all processes, in order, on the first one; returns [] on the others.

  Args:
    folder: folder of the files; removed afterwards.
    part: this process's part, of JSON types.
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
