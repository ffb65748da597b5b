"""Hard examples: the losses that RoIs are chosen by, and what is chosen."""

import functools

import jax
import numpy as np
import pytest

from configs.parts import roi
from jaxdet.losses.class_loss import make_class_loss
from jaxdet.models.box_stages.hard_examples import each_loss
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.models.recording import Record
from learned_by_heart import quick_jit
from small_detector import CLASSES, make_batch, small_config


def test_losses_of_rois_are_cross_entropies():
  rng = np.random.default_rng(0)
  logits, labels = rng.normal(size=(2, 5, 4)).astype(np.float32), rng.integers(0, 4, (2, 5))
  found = each_loss(make_class_loss({'name': 'cross_entropy'}, 3, {}), logits, labels, jax.random.key(0), {})
  expected = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, labels[..., None], -1)[..., 0]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def hard_config():
  config = small_config().copy_and_resolve_references()
  config.model.roi = roi.mmdet(box_head={**roi.box_head(), 'channels': 32}, hard_examples=True)
  config.model.roi.pooler.canonical_size = 56
  config.model.roi.sampler.update(num=8, positive_fraction=0.25)
  config.model.proposals.train_proposals.update(pre_nms_topk=100, post_nms_topk=20)
  return config


@functools.cache
def trained():
  """A training step: (all RoIs, the head's logits for them, the chosen RoIs, the logits of each call of the head)."""
  detector = build_detector(hard_config().model, CLASSES)
  batch = make_batch(objects=5)
  variables = quick_jit(functools.partial(initialize, detector))(jax.random.key(0))
  logits = variables['params']['box_head']['logits']
  logits['kernel'] = 0.3 * jax.random.normal(jax.random.key(1), logits['kernel'].shape)

  @quick_jit
  def run(variables):
    call = Record(detector.networks, variables, train=True)
    detector.loss(call, batch, jax.random.key(2))
    [every], [chosen] = call.of('sampling of regions'), call.of('hard examples')
    return every.result, chosen.arguments[0], chosen.result, [made.result[0] for made in call.of('box_head')]

  return jax.device_get(run(variables))


def test_the_head_sees_every_proposal_and_then_the_hardest_of_each_kind():
  every, logits, chosen, heads = trained()
  assert every.boxes.shape == (2, 25, 4) and chosen.boxes.shape == (2, 8, 4)
  assert [len(head[0]) for head in heads] == [25, 8]
  losses = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), every.labels[..., None], -1)[..., 0]
  for image in range(2):
    order = np.argsort(-losses[image])
    positives = [row for row in order if every.positive[image, row]]
    negatives = [row for row in order if every.valid[image, row] and not every.positive[image, row]]
    assert len(positives) > 2 and len(negatives) > 6
    expected = [*positives[:2], *negatives[:6]]
    np.testing.assert_array_equal(chosen.boxes[image], every.boxes[image, expected])
    np.testing.assert_array_equal(chosen.labels[image], every.labels[image, expected])
    np.testing.assert_array_equal(chosen.positive[image], np.arange(8) < 2)
    # The second time the head sees these RoIs.
    np.testing.assert_allclose(heads[1][image], logits[image, expected], atol=1e-4)


def test_a_random_sampler_has_no_losses_to_choose_by():
  model = hard_config().model
  model.roi.sampler.name = 'random'
  detector = build_detector(model, CLASSES)
  with pytest.raises(ValueError, match=r"unknown roi.sampler.name 'random'; the nearest is 'hardest'"):
    jax.eval_shape(functools.partial(initialize, detector), jax.random.key(0))
