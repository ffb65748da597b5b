"""Runs torchvision's detectors in their own processes, with an interpreter that has torchvision."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from jaxdet.benchmark.counterparts import Counterpart
from jaxdet.benchmark.synthetic import dense_masks
from jaxdet.benchmark.workload import Workload

PROGRAM = pathlib.Path(__file__).with_name('torchvision_program.py')
# Modes of torch, joined by '+', such as amp+compile. amp: products in bfloat16 (autocast).
MODES = ('eager', 'channels_last', 'amp', 'compile')


def find_torch(python: str | None = None) -> str:
  """Finds the interpreter with torch and torchvision: `python`, or this one.

  Raises:
    ValueError: it does not have them; the message says what to install.
  """
  python = python or sys.executable
  try:
    done = subprocess.run([python, '-c', 'import torch, torchvision'], capture_output=True, text=True)
  except OSError as error:
    raise ValueError(f'--torch_python {python} is no interpreter: {error.strerror}') from error
  if done.returncode:
    raise ValueError(
      f'{python} has no torch and torchvision ({_last_line(done.stderr)}): pip install torch torchvision, or name an '
      'interpreter that has them with --torch_python'
    )
  return python


def check_modes(modes: list[str]) -> None:
  """Raises ValueError on an unknown mode."""
  for mode in modes:
    for part in mode.split('+'):
      if part not in MODES:
        raise ValueError(f"unknown mode '{part}' of torchvision in --modes: choose of {', '.join(MODES)}")


def measure(workload: Workload, side: Counterpart, task: str, mode: str, python: str) -> dict[str, Any]:
  """Measures one torchvision program; {'error': its last line} if it fails.

  Args:
    workload: batch, repeats.
    side: the torchvision model.
    task: 'train' or 'predict'.
    mode: of MODES, joined by '+'.
    python: an interpreter with torch.

  Returns:
    step_s, spread_s, calls, images_per_s as `programs.measure`; `first_s`, the first call, with compilation if any;
    memory_gib by `device` and `process`; regions_an_image, the RoIs of box and mask head; device; versions.
  """
  spec = {'task': task, 'mode': mode, 'repeats': workload.repeats, **dataclasses.asdict(side)}
  with tempfile.TemporaryDirectory() as folder:
    data = os.path.join(folder, 'data.npz')
    np.savez(data, **_data(workload, with_masks=side.model.startswith('maskrcnn')))
    done = subprocess.run([python, str(PROGRAM), data, json.dumps(spec)], capture_output=True, text=True)
  if done.returncode:
    return {'error': _last_line(done.stderr) or f'ended with status {done.returncode}'}
  return json.loads(done.stdout.splitlines()[-1])


def _data(workload: Workload, with_masks: bool) -> dict[str, np.ndarray]:
  """Batch of a training step without padded objects; masks as bits of whole rows."""
  batch = workload.batch()
  boxes = batch.objects.boxes[:, : workload.objects]
  data = {'images': batch.image, 'boxes': boxes, 'labels': batch.objects.labels[:, : workload.objects]}
  if with_masks:
    data['masks'] = np.stack([np.packbits(dense_masks(of_image, workload.canvas), axis=-1) for of_image in boxes])
  return data


def _last_line(text: str) -> str:
  lines = text.strip().splitlines()
  return lines[-1].strip() if lines else ''
