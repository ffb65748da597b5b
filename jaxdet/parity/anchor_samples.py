"""Samples anchors as recorded runs did whose sampler could not take all of them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxdet.assign.matcher import Match
from jaxdet.assign.sampler import mask_by_priority
from jaxdet.models.proposals.rpn import RPN
from jaxdet.parity.case import Case


def sample_as_recorded(detector, case: Case):
  """Returns the detector with an RPN that takes the recorded negatives, if their number is bounded by the positives.

  Recorded runs permuted an image's negatives by known random numbers and took the first ones. A permutation is known
  by its length, the number of negatives; an image with another number gets an arbitrary sample.
  """
  rpn = getattr(detector, 'proposals', None)
  if not isinstance(rpn, RPN) or rpn.settings.sampler.get('negatives_per_positive') is None:
    return detector
  limits = {key: value for key, value in rpn.settings.sampler.items() if key != 'name'}
  lengths = [(k, shape[0]) for k, (kind, *shape) in enumerate(case.meta['rand_calls']) if kind == 'randperm']
  # Priorities in (0, 1] from the order of the random numbers, so that none are equal in float32.
  ordered = [case.recipe.uniform(f'rand{k}', (length,)).argsort().argsort() for k, length in lengths]
  priorities = [(1 - places / len(places)).astype(np.float32) for places in ordered]

  def sample(matched: Match, key: Array) -> Bool[Array, 'N']:
    del key
    negative = matched.label == 0
    position = jnp.cumsum(negative) - 1
    priority = jnp.zeros(negative.shape, jnp.float32)
    for recorded in priorities:
      own = negative & (negative.sum() == len(recorded))
      priority = jnp.where(own, jnp.asarray(recorded)[jnp.clip(position, 0, len(recorded) - 1)], priority)
    return mask_by_priority(matched.label, priority, **limits)

  return dataclasses.replace(detector, proposals=dataclasses.replace(rpn, sample=sample))
