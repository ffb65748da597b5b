"""Runs a measurement in its own process, so that its memory peak is its own and devices are freed afterwards."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import jax


def isolated(function: Callable[..., dict[str, Any]], *args) -> dict[str, Any]:
  """Runs `function(*args)` in a new process; adds its `device`, or returns {'error': reason} if the process fails.

  Raises:
    ValueError, FloatingPointError: as `function` does.
  """
  with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
    try:
      return pool.submit(_on_device, function, *args).result()
    except (ValueError, FloatingPointError) as error:
      raise type(error)(str(error)) from error  # raised here, so that it counts as a check of this project
    except BrokenProcessPool:
      return {'error': 'the process was ended from outside, as where memory runs out'}
    except RuntimeError as error:  # XLA's, for example if the device is out of memory
      return {'error': str(error).strip().splitlines()[0]}


def _on_device(function: Callable[..., dict[str, Any]], *args) -> dict[str, Any]:
  figures = function(*args)
  device = {'backend': jax.default_backend(), 'kind': jax.devices()[0].device_kind, 'count': jax.device_count()}
  return {**figures, 'device': device}
