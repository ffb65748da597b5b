"""The same metrics from several devices, and from several processes that share a folder."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from jaxdet.training.processes import knows_own_name

SCRIPT = pathlib.Path(__file__).with_name('evaluate_in_processes.py')


def run(folder, processes, devices):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    coordinator = f'localhost:{free.getsockname()[1]}'
  environment = os.environ | {
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    'PYTHONPATH': os.pathsep.join([str(SCRIPT.parents[2]), str(SCRIPT.parents[1])]),
    'JAX_PLATFORMS': 'cpu',
  }
  started = [
    subprocess.Popen([sys.executable, SCRIPT, str(i), str(processes), coordinator, folder], env=environment)
    for i in range(processes)
  ]
  try:
    assert [process.wait(timeout=100) for process in started] == [0] * processes
  finally:
    for process in started:
      process.kill()
  return [json.loads((folder / f'returned.{i}.json').read_text()) for i in range(processes)]


@pytest.mark.parametrize(('processes', 'devices'), [(1, 2), (2, 2)])
def test_all_have_the_metrics_of_all_images(processes, devices, tmp_path):
  if processes > 1 and not knows_own_name():
    pytest.skip('the machine does not know its own name')
  returned = run(tmp_path, processes, devices)
  for metrics, device_count, process_count in returned:
    assert (device_count, process_count) == (2 * processes, processes)
    assert metrics['bbox']['AP'] == pytest.approx(100)
    assert metrics['segm']['APr'] == pytest.approx(100)
    assert (metrics['images'], metrics['incomplete']) == (5, 1)
  records = json.loads((tmp_path / 'run' / 'results_val.json').read_text())
  assert sorted(record['image_id'] for record in records) == [100, 101, 102, 103, 104]
