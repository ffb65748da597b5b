"""Anchors sampled as in a recorded run whose sampler bounded the negatives by the positives."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from jaxdet.assign.matcher import Match
from jaxdet.models.proposals.rpn import RPN
from jaxdet.parity.anchor_samples import sample_as_recorded
from small_case import small_case


@dataclasses.dataclass(frozen=True)
class Detector:
  proposals: Any


def detector_with(**sampler) -> Detector:
  settings = FrozenConfigDict({'sampler': {'name': 'random', 'num': 0, 'positive_fraction': 0.5, **sampler}})
  return Detector(RPN(settings, {}, sample=None))


def test_negatives_are_the_first_of_the_recorded_permutation():
  case = small_case(rand_calls=[['randperm', 12], ['randperm', 7]])
  sample = sample_as_recorded(detector_with(negatives_per_positive=5), case).proposals.sample
  labels = jnp.array([0, 1, -1, 0, 0, 0, 0, 0, -1, 0])  # seven negatives and a positive
  taken = np.flatnonzero(sample(Match(jnp.zeros_like(labels), labels, jnp.zeros(10)), None))
  negatives = np.flatnonzero(labels == 0)
  first = case.recipe.uniform('rand1', (7,)).argsort()[:5]
  assert taken.tolist() == sorted([1, *negatives[first]])


def test_other_samplers_take_everything():
  detector = detector_with()
  assert sample_as_recorded(detector, small_case()) is detector
