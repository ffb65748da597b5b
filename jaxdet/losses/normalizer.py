"""Divisor of a dense detector's losses: the positives of the batch, or a running mean of them.

`settings` is `config.model.head.normalizer`: a `name` of

- 'batch': the positives of the batch, at least 1 (mmdetection's FCOS).
- 'images': the same, but with at least 1 for every image (mmdetection's anchor heads).
- 'running': a mean over steps that begins with `initial` and keeps `momentum` of itself (Detectron2).

Upstream counts positives per GPU; here they are counted over the whole batch. mmdetection averages over GPUs.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

State = dict[str, Array]


def initial_state(settings: Mapping[str, Any]) -> State:
  """State kept from step to step; {} if there is none.

  Raises:
    ValueError: on an unknown name.
  """
  if settings['name'] not in ('batch', 'images', 'running'):
    raise ValueError(f"unknown normalizer '{settings['name']}': choose 'batch', 'images' or 'running'")
  return {'positives': jnp.float32(settings['initial'])} if settings['name'] == 'running' else {}


def normalizer(
  positive: Bool[Array, 'B N'], settings: Mapping[str, Any], state: State
) -> tuple[Float[Array, ''], State]:
  """Divisor of this step, and the new state."""
  if settings['name'] == 'images':
    return jnp.maximum(positive.sum(-1), 1).sum().astype(jnp.float32), state
  count = jnp.maximum(positive.sum(), 1).astype(jnp.float32)
  if settings['name'] == 'batch':
    return count, state
  running = settings['momentum'] * state['positives'] + (1 - settings['momentum']) * count
  return running, {'positives': running}
