"""Query detectors on a network small enough to compile in seconds."""

import functools
import pathlib

import jax
import numpy as np

from jaxdet.configuration import load_config
from jaxdet.models.initialize import variable_shapes

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / 'configs'
VARIANTS = {
  'detr': 'mmdet/detr.py',
  'plain': 'mmdet/deformable_detr.py',
  'two stages': 'mmdet/deformable_detr.py:refine=true,two_stage=true',
  'federated': 'detic/deformable_detr.py',
}


@functools.cache
def small_config(variant: str):
  """The config of a variant, unlocked."""
  config = load_config(f'{CONFIGS}/{VARIANTS[variant]}').unlock()
  model = config.model
  model.dtype = 'float32'
  model.backbone.update(depth=18, norm='gn', stem_width=8)
  model.frozen = ()
  model.neck.channels = 32
  for part in (model.encoder, model.decoder):
    part.update(layers=2, heads=4, feed_forward=64, dropout=0.0)
  model.encoder.layers = 1
  model.decoder.queries = 10
  model.test.detections = 8
  return config


def random_variables(detector):
  """Variables of about the size of those that `init` makes, which takes XLA longer to compile than the losses."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    name = path[-1].key
    if name in ('kernel', 'embedding'):
      return (rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(np.float32)
    return np.full(leaf.shape, name in ('scale', 'var'), np.float32)

  return jax.tree_util.tree_map_with_path(draw, variable_shapes(detector))
