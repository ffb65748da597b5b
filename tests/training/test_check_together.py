"""Where one process of a job refuses, all do, with its words."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from jaxdet.training.processes import check_together

SCRIPT = pathlib.Path(__file__).with_name('check_in_processes.py')


def outcomes(*texts: str) -> list[str]:
  """The last line that each of several processes prints."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    coordinator = f'localhost:{free.getsockname()[1]}'
  environment = os.environ | {'PYTHONPATH': str(SCRIPT.parents[2]), 'JAX_PLATFORMS': 'cpu'}
  started = [
    subprocess.Popen(
      [sys.executable, SCRIPT, str(i), str(len(texts)), coordinator, text],
      env=environment,
      stdout=subprocess.PIPE,
      text=True,
    )
    for i, text in enumerate(texts)
  ]
  try:
    return [process.communicate(timeout=100)[0].splitlines()[-1] for process in started]
  finally:
    for process in started:
      process.kill()


def test_where_one_process_refuses_all_do():
  assert outcomes('', 'no file größe.json') == ['ValueError: no file größe.json', 'OSError: no file größe.json']


def test_one_process_raises_what_its_check_raises():
  def check():
    raise FileNotFoundError('no such file')

  with pytest.raises(FileNotFoundError, match='no such file'):
    check_together(check)
  check_together(lambda: None)
