"""A detector and a data set small enough to train in a second, for tests of everything around them.

`python tests/toy_detector.py WORKDIR '{"train.steps": 20}'` trains one in a process of its own.
"""

import dataclasses
import json
import os
import signal
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxdet.models.random_keys import image_keys
from jaxdet.structures import Batch, Category, Detections, Objects

SIDE = 8


def pseudo_random(key, shape, dtype=jnp.float32):
  """Numbers in -0.3 .. 0.3 that depend on the key; real random numbers take XLA a second to compile."""
  seed = (jax.random.key_data(key)[-1] % 1000).astype(dtype)
  return 0.3 * jnp.sin(97.0 * (jnp.arange(np.prod(shape, dtype=int)) + 1.0) + seed).reshape(shape)


class Network(nn.Module):
  """A convolution, a group norm and a classifier; a running mean of its features in `batch_stats`."""

  num_classes: int

  @nn.compact
  def __call__(self, images, train):
    x = nn.Conv(8, (3, 3), kernel_init=pseudo_random, name='stem')(images)
    x = nn.Conv(8, (3, 3), kernel_init=pseudo_random, name='conv1')(nn.relu(x))
    x = nn.relu(nn.GroupNorm(4, epsilon=1e-5, name='norm1')(x))
    x = jnp.concatenate([x.mean((1, 2)), images.mean((1, 2))], -1)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (11,))
    if not self.is_initializing() and self.is_mutable_collection('batch_stats'):
      mean.value = 0.9 * mean.value + 0.1 * x.mean(0)
    shift = self.variable('constants', 'shift', jnp.full, (1,), 0.5).value
    return nn.Dense(self.num_classes, kernel_init=pseudo_random, name='classifier')(x) + shift


@dataclasses.dataclass(frozen=True)
class ToyDetector:
  """Says of a whole image what it is; the key blinds it to a random half of the images' noise."""

  num_classes: int = 3

  @property
  def networks(self):
    return {'network': Network(self.num_classes)}

  def loss(self, call, batch, key):
    noise = jax.vmap(lambda key: pseudo_random(key, batch.image.shape[1:]))(image_keys(key, batch))
    logits, labels = call('network', batch.image / 255.0 + 0.03 * noise), batch.objects.labels[:, 0]
    onehot = jax.nn.one_hot(labels, self.num_classes)
    loss_class = -(jax.nn.log_softmax(logits) * onehot).sum(-1).mean()
    accuracy = (logits.argmax(-1) == labels).mean()
    return {'loss_class': loss_class, 'loss_size': 0.01 * jnp.square(logits).mean(), 'accuracy': accuracy}

  def predict(self, call, batch):
    logits = call('network', batch.image / 255.0)
    count = logits.shape[0]
    return Detections(
      boxes=jnp.tile(jnp.float32([0, 0, SIDE, SIDE]), (count, 1, 1)),
      scores=jax.nn.softmax(logits).max(-1)[:, None],
      labels=logits.argmax(-1)[:, None],
      valid=batch.valid[:, None],
      masks=None,
      incomplete=jnp.zeros(count, bool),
    )


@dataclasses.dataclass
class ToyDataset:
  """Noise whose brightness is its label; a batch is a function of its step."""

  batch_size: int = 8
  stop: tuple[int, str] | None = None  # (step, 'kill'): kill -9 when that step's batch is asked for; also 'term', 'nan'
  workdir: str = ''
  num_classes: int = 3

  num_train_images = 1000
  image_ids = np.arange(4)
  image_files = ('a', 'b', 'c', 'd')
  annotations = ''

  @property
  def categories(self):
    return tuple(Category(id=i + 1, name=f'brightness {i}', frequency='f') for i in range(self.num_classes))

  def train_batches(self, start_step):
    step = start_step
    while True:
      if self.stop and step == self.stop[0]:
        self._interrupt()
      yield self.batch(step)
      step += 1

  def eval_batches(self):
    yield self.batch(10**6)

  def counters(self):
    return {'dropped objects': 2}

  def batch(self, step: int) -> Batch:
    rng = np.random.default_rng(step)
    count = self.batch_size
    labels = rng.integers(0, 3, (count, 1)).astype(np.int32)
    image = rng.integers(0, 86, (count, SIDE, SIDE, 3)) + 85 * labels[..., None, None]
    size = np.full((count, 2), SIDE, np.int32)
    boxes = np.tile(np.float32([0, 0, SIDE, SIDE]), (count, 1, 1))
    return Batch(
      image=image.astype(np.uint8),
      image_size=size,
      original_size=size,
      index=np.arange(count, dtype=np.int32),
      valid=np.ones(count, bool),
      objects=Objects(boxes, labels, np.ones((count, 1), bool)),
    )

  def _interrupt(self):
    if self.stop[1] == 'term':
      os.kill(os.getpid(), signal.SIGTERM)
    elif self.stop[1] == 'kill':
      # After the checkpoint that is being written, so that the test knows where the next process begins.
      while not os.path.exists(f'{self.workdir}/checkpoints/10/_CHECKPOINT_METADATA'):
        time.sleep(0.01)
      os.kill(os.getpid(), signal.SIGKILL)


def toy_config(**overrides) -> ConfigDict:
  """A complete configuration; overrides by dotted name, `toy_config(**{'train.steps': 3})`."""
  config = ConfigDict(
    {
      'seed': 0,
      'model': {
        'name': 'toy',
        'num_classes': 3,
        'pixel_mean': (0.0, 0.0, 0.0),
        'pixel_std': (1.0, 1.0, 1.0),
        'frozen': ('/stem/',),
      },
      'data': {'resize': {'name': 'shortest_edge', 'sizes': (SIDE,)}, 'canvases': ((SIDE, SIDE),), 'test_canvases': ()},
      'train': {
        'steps': 20,
        'batch_size': 8,
        'accumulate': 1,
        'optimizer': {
          'name': 'sgd',
          'momentum': 0.9,
          'weight_decay': 1e-2,
          'decay_factors': (('norm', 0.0), ('kernel|bias', 1.0)),
          'clip_norm': 0.0,
          'lr_factors': {},
        },
        'schedule': {
          'name': 'multistep',
          'base_lr': 0.1,
          'base_batch_size': 8,
          'milestones': (15,),
          'gamma': 0.1,
          'warmup': 'linear',
          'warmup_steps': 5,
          'warmup_factor': 0.001,
        },
        'ema_decay': 0.0,
        'init_from': '',
        'init_except': (),
        'log_every': 1,
        'checkpoint_every': 10,
        'keep_checkpoints': 2,
        'best_metric': 'bbox/AP',
        'eval_every': 0,
      },
    }
  )
  config.update_from_flattened_dict(overrides)
  return config.lock()


def main() -> None:
  from absl import logging

  from jaxdet.training.loop import train

  workdir, overrides = sys.argv[1], json.loads(sys.argv[2])
  stop = overrides.pop('stop', None)
  logging.set_verbosity(logging.INFO)
  config = toy_config(**overrides)
  dataset = ToyDataset(config.train.batch_size, tuple(stop) if stop else None, workdir)
  train(config, workdir, dataset, ToyDetector())


if __name__ == '__main__':
  main()
