"""Results come from other processes, in time and with their errors."""

import json

import numpy as np
import pytest

from jaxdet.evaluation.worker_pool import WorkerPool

TASK = (
  np.float32([[10, 10, 30, 20]]),
  np.float32([0.5]),
  np.int32([0]),
  np.ones((1, 28, 28), np.float32),
  None,
  np.int32([100, 100]),
  np.int32([100, 100]),
)


@pytest.fixture
def shadowed(tmp_path, monkeypatch):
  """The path of modules begins with a folder that has other modules under the names of a worker's."""
  for name in ('typing', 'json', 'runpy', 'numpy', 'jaxdet'):
    (tmp_path / f'{name}.py').write_text(f'raise ImportError("{name} of another package")')
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))


@pytest.fixture
def pool():
  pool = WorkerPool()
  yield pool
  pool.close()


def test_lines_come_back_for_their_task(pool):
  answers = [pool.submit(*TASK, image_id, [3]) for image_id in range(8)]
  for image_id, answer in enumerate(answers):
    image, record = map(json.loads, answer.result().splitlines())
    assert image == {'image_id': image_id, 'records': 1}
    assert record['category_id'] == 3
    assert record['bbox'] == [10, 10, 20, 10]


def test_an_error_is_raised_here_and_the_process_goes_on(pool):
  assert isinstance(pool.submit(*TASK, 1, []).exception(), IndexError)
  assert pool.submit(*TASK, 2, [3]).result().startswith('{"image_id": 2,')


def test_a_process_that_was_killed_is_reported(pool):
  pool.submit(*TASK, 1, [3]).result()
  for process in pool._processes:
    process.kill()
  with pytest.raises(RuntimeError, match='has ended with code -9'):
    for _ in range(pool.size):
      pool.submit(*TASK, 1, [3]).result()


def test_a_process_takes_over_no_path_of_modules(shadowed, pool):
  assert pool.submit(*TASK, 2, [3]).result().startswith('{"image_id": 2,')
