"""Where the golden values and photographs lie that are too large or not ours to ship.

`JAXDET_PARITY` and `JAXDET_PHOTOS` name the folders; without them the folders beside the checkout are
tried, and a test that finds neither is skipped with the reason.
"""

import importlib.util
import json
import os
import pathlib

import numpy as np
import pytest

BESIDE = pathlib.Path(__file__).resolve().parents[2] / 'shared'


def _folder(variable: str, default: pathlib.Path, what: str) -> pathlib.Path:
  folder = pathlib.Path(os.environ.get(variable, default))
  if not folder.is_dir():
    pytest.skip(f'{what} not found: no folder {folder}; set {variable}')
  return folder


def kit() -> pathlib.Path:
  """The folder of golden values; skips the test where it is absent."""
  return _folder('JAXDET_PARITY', BESIDE / 'parity', 'golden values')


def photos() -> pathlib.Path:
  """The folder of photographs with annotations; skips the test where it is absent."""
  return _folder('JAXDET_PHOTOS', BESIDE / 'data', 'photographs')


def recipe():
  """The module that makes weights, images and ground truth from their names."""
  spec = importlib.util.spec_from_file_location('parity_recipe', kit() / 'recipe.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def case(name: str) -> tuple[dict[str, np.ndarray], dict]:
  """(arrays, meta) of a golden file, named as 'ops/nms' or 'mmdet/mask_rcnn_r50_fpn'."""
  arrays = dict(np.load(kit() / f'{name}.npz'))
  return arrays, json.loads(str(arrays.pop('meta')))
