"""The loop: what it writes, when it saves and evaluates, how it ends."""

import dataclasses
import json
import logging
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet import sharding
from jaxdet.structures import Batch
from jaxdet.training import loop
from jaxdet.training.prefetch import Prefetcher
from toy_detector import ToyDataset, ToyDetector, toy_config


def saved_steps(workdir, folder='checkpoints'):
  return sorted(int(path.name) for path in (workdir / folder).iterdir())


def rows(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_learns_and_writes_metrics(tmp_path, caplog):
  config = toy_config(**{'train.steps': 60, 'train.log_every': 10, 'train.schedule.milestones': (50,)})
  with caplog.at_level(logging.INFO, logger='absl'):
    state = loop.train(config, str(tmp_path), ToyDataset(), ToyDetector())
  assert int(state.step) == 60
  written = rows(tmp_path)
  assert [row['step'] for row in written] == [10, 20, 30, 40, 50, 60]
  assert written[-1]['loss_class'] < 0.8 * written[0]['loss_class']
  names = {'total_loss', 'grad_norm', 'lr', 'images_per_second', 'input_wait', 'memory_gib', 'accuracy'}
  assert names < set(written[0])
  assert written[0]['seconds_to_first_step'] > 0 and 'seconds_to_first_step' not in written[1]
  assert (tmp_path / 'tensorboard').is_dir()
  assert 'learning rate 0.1 = 0.1 * 8 / 8' in caplog.text
  assert 'first step on images (8, 8, 8, 3)' in caplog.text
  assert caplog.text.count(' s after training began') == 1
  assert caplog.text.count('input: dropped objects 2') == 1
  lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith('step ')]
  assert len(lines) == 6
  assert all(line.index('images/s') == lines[1].index('images/s') for line in lines[1:])


def test_evaluates_and_keeps_the_best(tmp_path):
  calls = []

  def evaluate(variables):
    calls.append(variables)
    return {'bbox': {'AP': [0.1, 0.5, 0.3][len(calls) - 1], 'APr': float('nan')}, 'images': 4, 'note': 'text'}

  config = toy_config(**{'train.steps': 15, 'train.eval_every': 5, 'train.log_every': 5})
  state = loop.train(config, str(tmp_path), ToyDataset(), ToyDetector(), evaluate)
  assert len(calls) == 3
  jax.tree.map(np.testing.assert_array_equal, calls[-1], {'params': state.params, **state.collections})
  assert saved_steps(tmp_path, 'best') == [10]
  assert saved_steps(tmp_path) == [10, 15]
  evaluations = [row for row in rows(tmp_path) if 'eval/bbox/AP' in row]
  assert evaluations[1] == {'step': 10, 'eval/bbox/AP': 0.5, 'eval/images': 4.0}


def test_a_finished_run_only_evaluates(tmp_path):
  config = toy_config(**{'train.steps': 3})
  loop.train(config, str(tmp_path), ToyDataset(), ToyDetector())
  calls = []
  state = loop.train(config, str(tmp_path), ToyDataset(), ToyDetector(), lambda v: calls.append(v) or {})
  assert int(state.step) == 3
  assert len(calls) == 1
  assert [row['step'] for row in rows(tmp_path)] == [1, 2, 3]


def test_sigterm_saves_and_the_same_call_goes_on(tmp_path):
  config = toy_config(**{'train.steps': 12})
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(SystemExit) as exit:
    loop.train(config, str(tmp_path), ToyDataset(stop=(6, 'term')), ToyDetector())
  assert exit.value.code == 143
  assert signal.getsignal(signal.SIGTERM) == before
  (step,) = saved_steps(tmp_path)
  assert 1 <= step <= 7
  loop.train(config, str(tmp_path), ToyDataset(), ToyDetector())
  assert [row['step'] for row in rows(tmp_path)] == list(range(1, 13))


@dataclasses.dataclass(frozen=True)
class Overflowing(ToyDetector):
  """A loss that is not finite where the first label is 2 and the image's first pixel is bright."""

  def loss(self, call, batch, key):
    losses = super().loss(call, batch, key)
    poison = jnp.where(batch.index[0] == 99, jnp.inf, 0.0)
    return {**losses, 'loss_size': losses['loss_size'] + poison}


class PoisonedDataset(ToyDataset):
  def batch(self, step: int) -> Batch:
    batch = super().batch(step)
    return batch.replace(index=np.full_like(batch.index, 99)) if step == 9 else batch


def test_a_loss_that_is_not_finite_ends_training_and_is_not_saved(tmp_path):
  """The tenth step is bad, and a checkpoint is due right after it."""
  with pytest.raises(FloatingPointError, match='step 10 is not finite: .*loss_class [01][.].*loss_size inf'):
    loop.train(toy_config(**{'train.checkpoint_every': 5}), str(tmp_path), PoisonedDataset(), Overflowing())
  assert saved_steps(tmp_path) == [5]


def test_a_gradient_that_is_not_finite_is_seen():
  with pytest.raises(FloatingPointError, match='step 3 is not finite: grad_norm nan, loss_a 1'):
    loop.check_finite(3, {'loss_a': 1.0, 'grad_norm': float('nan'), 'accuracy': float('nan')})
  loop.check_finite(3, {'loss_a': 1.0, 'grad_norm': 1.0, 'accuracy': float('nan')})


def test_two_canvases_are_compiled_once_each(tmp_path, caplog):
  class TwoCanvases(ToyDataset):
    def batch(self, step: int) -> Batch:
      batch = super().batch(step)
      return batch.replace(image=batch.image[:, :, :4]) if step % 2 else batch

  class AnySize(ToyDetector):
    def loss(self, call, batch, key):
      image = jnp.pad(batch.image, ((0, 0), (0, 0), (0, max(0, 8 - batch.image.shape[2])), (0, 0)))
      return super().loss(call, batch.replace(image=image), key)

  with caplog.at_level(logging.INFO, logger='absl'):
    loop.train(toy_config(**{'train.steps': 6}), str(tmp_path), TwoCanvases(), AnySize())
  assert caplog.text.count('first step on images') == 2


def test_errors_of_the_input_reach_the_caller(tmp_path):
  class Broken(ToyDataset):
    def batch(self, step: int) -> Batch:
      if step == 2:
        raise ValueError('image 17 is broken')
      return super().batch(step)

  with pytest.raises(ValueError, match='image 17 is broken'):
    loop.train(toy_config(), str(tmp_path), Broken(), ToyDetector())


def test_prefetching_keeps_the_order_and_reads_one_batch_ahead():
  taken = []

  def batches():
    for step in range(100):
      taken.append(step)
      yield ToyDataset().batch(step)

  prefetcher = Prefetcher(batches(), sharding.make_mesh())
  for step in range(3):
    batch = prefetcher.next_batch()
    np.testing.assert_array_equal(batch.objects.labels, ToyDataset().batch(step).objects.labels)
    assert isinstance(batch.image, jax.Array)
  prefetcher.close()
  assert len(taken) <= 5


def test_no_thread_of_the_prefetching_outlives_it():
  def batches():
    while True:
      yield ToyDataset().batch(0)

  prefetcher = Prefetcher(batches(), sharding.make_mesh())
  prefetcher.next_batch()
  prefetcher.close()
  assert 'prefetch' not in [thread.name for thread in threading.enumerate()]
