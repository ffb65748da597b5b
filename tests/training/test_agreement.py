"""Processes of a job compare what they have read; the exchange itself is JAX's."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from jaxdet.training.agreement import check_same_on_all_processes


def exchange(monkeypatch, words_of_others):
  """Lets this process be the first of several; `words_of_others` are those that the others have."""
  digests = []
  with monkeypatch.context() as alone:
    alone.setattr(jax, 'process_count', lambda: 2)
    alone.setattr(multihost_utils, 'process_allgather', lambda mine: digests.append(mine) or mine[None])
    for words in words_of_others:
      check_same_on_all_processes(words, '')
  monkeypatch.setattr(jax, 'process_count', lambda: 1 + len(digests))
  monkeypatch.setattr(multihost_utils, 'process_allgather', lambda mine: np.stack([mine, *digests]))


def test_the_same_words_on_all_processes(monkeypatch):
  exchange(monkeypatch, [('a', 'b'), ('a', 'b')])
  check_same_on_all_processes(('a', 'b'), 'annotations')


def test_other_words_are_an_error_that_names_the_processes(monkeypatch):
  exchange(monkeypatch, [('a', 'b'), ('ab',), ('a', 'c')])
  with pytest.raises(ValueError, match=r'processes \[2, 3\] of the job have other annotations than process 0'):
    check_same_on_all_processes(('a', 'b'), 'annotations')


def test_a_single_process_asks_nobody(monkeypatch):
  monkeypatch.setattr(multihost_utils, 'process_allgather', None)
  check_same_on_all_processes(('a',), 'annotations')
