"""One device, eight devices, two processes: the same training."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxdet import sharding
from jaxdet.training import processes
from toy_detector import toy_config

REPOSITORY = pathlib.Path(__file__).parents[2]

STEPS = """
import json, re, sys
import jax
from toy_detector import ToyDataset, ToyDetector, toy_config
from jaxdet import sharding
from jaxdet.training import processes
from jaxdet.training.optimizer import build_optimizer
from jaxdet.training.state import create_state
from jaxdet.training.step import make_train_step

processes.initialize_processes()
accumulate = int(sys.argv[1])
config = toy_config(**{'train.accumulate': accumulate, 'train.batch_size': 16, 'train.optimizer.clip_norm': 1.0})
mesh = sharding.make_mesh()
detector = ToyDetector()
state = create_state(config, detector, jax.random.key(0), mesh)
step = make_train_step(config, detector, build_optimizer(config, state.params), mesh)
key = jax.jit(lambda: jax.random.key(1), out_shardings=sharding.replicated(mesh))()

def batch(number):
  local = 16 // jax.process_count()
  part = slice(jax.process_index() * local, (jax.process_index() + 1) * local)
  return sharding.put_batch(jax.tree.map(lambda x: x[part], ToyDataset(16).batch(number)), mesh)

program = step.lower(state, batch(0), key).compile().as_text()
losses = []
for number in range(4):
  images = batch(number)
  with jax.transfer_guard('disallow'):
    state, metrics = step(state, images, key)
  losses.append(float(jax.device_get(metrics['total_loss'])))
names = 'all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast'
collectives = sorted(set(re.findall(f' ({names})(?:-start)?[(]', program)))
print(json.dumps({'losses': losses, 'compilations': step._cache_size(), 'devices': jax.device_count(),
                  'collectives': collectives, 'process': jax.process_index()}))
"""


def start(devices: int, accumulate: int = 1, **environment: str) -> subprocess.Popen:
  environment = {
    **os.environ,
    'PYTHONPATH': f'{REPOSITORY}:{REPOSITORY}/tests',
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    **environment,
  }
  command = [sys.executable, '-c', STEPS, str(accumulate)]
  return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> dict:
  out, err = process.communicate(timeout=120)
  assert process.returncode == 0, err[-3000:]
  return json.loads(out.splitlines()[-1])


@pytest.fixture(scope='module')
def one_device() -> dict:
  return finish(start(1))


def test_eight_devices_give_the_losses_of_one(one_device):
  eight = finish(start(8))
  assert (one_device['devices'], eight['devices']) == (1, 8)
  np.testing.assert_allclose(eight['losses'], one_device['losses'], rtol=2e-6)
  assert eight['compilations'] == 1
  assert eight['collectives'] == ['all-reduce']
  assert one_device['collectives'] == []


def test_micro_batches_need_no_other_collective():
  eight = finish(start(8, accumulate=2))
  np.testing.assert_allclose(eight['losses'], finish(start(1, accumulate=2))['losses'], rtol=2e-6)
  assert eight['collectives'] == ['all-reduce']


@pytest.mark.skipif(not processes.knows_own_name(), reason='the machine does not know its own name')
def test_two_processes_give_the_losses_of_one(one_device):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    port = probe.getsockname()[1]
  job = {'JAX_COORDINATOR_ADDRESS': f'localhost:{port}', 'JAX_NUM_PROCESSES': '2'}
  processes = [start(2, **job, JAX_PROCESS_ID=str(index)) for index in range(2)]
  for process in processes:
    result = finish(process)
    assert result['devices'] == 4
    np.testing.assert_allclose(result['losses'], one_device['losses'], rtol=2e-6)


@pytest.mark.parametrize(
  ('environment', 'several'),
  [
    ({}, False),
    ({'SLURM_NTASKS': '8'}, False),  # the shell of a job, which srun did not start
    ({'SLURM_STEP_NUM_TASKS': '1'}, False),
    ({'SLURM_STEP_NUM_TASKS': '8'}, True),
    ({'OMPI_COMM_WORLD_SIZE': '2'}, True),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, False),
    ({'TPU_WORKER_HOSTNAMES': '10.0.0.1,10.0.0.2'}, True),
    ({'JAX_COORDINATOR_ADDRESS': 'host:1234'}, True),
  ],
)
def test_finds_jobs_of_several_processes(environment, several):
  assert processes.describes_several_processes(environment) == several


def test_a_machine_that_does_not_know_its_own_name_is_an_error_before_processes_connect(monkeypatch):
  def unknown(host, port):
    raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

  monkeypatch.setattr(socket, 'gethostname', lambda: 'bare')
  monkeypatch.setattr(socket, 'getaddrinfo', unknown)
  with pytest.raises(ValueError, match="not know its own name 'bare'.* add the line '127.0.1.1 bare' to /etc/"):
    processes.initialize_processes(True)


def test_a_batch_that_cannot_be_cut_is_an_error():
  mesh = sharding.make_mesh()
  sharding.check_batch_size(toy_config().train.batch_size, 2, mesh)
  message = re.escape(f'train.batch_size 8 is no multiple of {mesh.size} devices * 3 micro-batches')
  with pytest.raises(ValueError, match=message):
    sharding.check_batch_size(8, 3, mesh)
