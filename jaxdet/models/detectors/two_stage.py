"""Two-stage detectors: proposals, one or more box stages, tasks on RoIs, and tasks on the pyramid.

Fast, Faster, Mask and Cascade R-CNN are this class with other parts (Girshick, 2015; Ren et al., 2015; He et al., 2017;
Cai & Vasconcelos, 2018). Differences between Detectron2 and mmdetection are settings in `config.model.roi`.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from jaxdet.models.box_stages.outputs import BoxOutputs
from jaxdet.models.forward import Call, Losses
from jaxdet.models.preprocess import Preprocess
from jaxdet.models.pyramid_tasks.task import PyramidTask
from jaxdet.models.random_keys import image_keys
from jaxdet.models.roi_detections import detect
from jaxdet.models.roi_targets import RoITargets
from jaxdet.structures import Batch, Detections, Proposals

Pyramid = Mapping[int, Float[Array, 'B _ _ C']]


class ProposalGenerator(Protocol):
  """Makes proposals from the pyramid."""

  networks: Mapping[str, nn.Module]

  def train(self, call: Call, pyramid: Pyramid, batch: Batch, keys: Array) -> tuple[Losses, Proposals]:
    """Losses of the generator, and training proposals without gradient; `keys` [B] are the images' random keys."""

  def propose(self, call: Call, pyramid: Pyramid, batch: Batch) -> Proposals:
    """Proposals for inference."""


class BoxStage(Protocol):
  """Classifies RoIs and refines their boxes."""

  networks: Mapping[str, nn.Module]

  def label(self, call: Call, pyramid: Pyramid, proposals: Proposals, batch: Batch, keys: Array) -> RoITargets:
    """Training RoIs with their targets; the pyramid is for stages that choose RoIs by their losses."""

  def features(self, call: Call, pyramid: Pyramid, rois: Float[Array, 'B R 4']) -> Array:
    """Input of the stage's network [B, R, ...]."""

  def outputs(self, call: Call, features: Array, rois: Float[Array, 'B R 4']) -> BoxOutputs:
    """Outputs of the stage's network."""

  def loss(self, call: Call, outputs: BoxOutputs, targets: RoITargets, batch: Batch, key: Array) -> Losses:
    """Losses of the stage."""

  def scores(self, outputs: BoxOutputs) -> Float[Array, 'B R K']:
    """Class scores."""

  def decode(self, regression, rows, labels, rois: Float[Array, 'R 4'], image_size: Int[Array, '2']):
    """Decodes the boxes [n, 4] of (RoI, class) pairs of one image."""

  def refine(self, outputs: BoxOutputs, rois: Float[Array, 'B R 4'], image_size: Int[Array, 'B 2']):
    """RoIs of the next stage [B, R, 4] in inference; without gradient."""

  def refined_proposals(self, outputs: BoxOutputs, targets: RoITargets, image_size: Int[Array, 'B 2']) -> Proposals:
    """Training proposals of the next stage; without gradient."""


class RoITask(Protocol):
  """A further prediction for each RoI: masks, keypoints, grid points."""

  networks: Mapping[str, nn.Module]

  def loss(
    self, call: Call, stage: int, pyramid: Pyramid, features: Array, targets: RoITargets, batch: Batch, key: Array
  ) -> Losses:
    """Losses on the RoIs of a box stage; `key` is for tasks that use random numbers."""

  def predict(
    self, call: Call, pyramid: Pyramid, box_features, detections: Detections, image_size: Int[Array, 'B 2']
  ) -> Detections:
    """Adds the task's prediction to detections; may replace their boxes."""


@dataclasses.dataclass(frozen=True)
class Cascade:
  """Settings shared by the stages of a cascade; a single stage has the defaults."""

  loss_weights: tuple[float, ...] = (1.0,)
  feature_gradient: float = 1.0  # factor of the box heads' gradient to the features (Detectron2: a third)
  average: str = 'probabilities'  # over the stages, in inference; or 'logits' (mmdetection)

  def __post_init__(self):
    if self.average not in ('probabilities', 'logits'):
      raise ValueError(f"unknown roi.cascade.average '{self.average}': choose probabilities or logits")


@dataclasses.dataclass(frozen=True, eq=False)
class TwoStage:
  """A detector with `backbone`, `neck` and the networks of its parts."""

  preprocess: Preprocess
  networks: Mapping[str, nn.Module]
  proposals: ProposalGenerator
  stages: tuple[BoxStage, ...]
  tasks: tuple[RoITask, ...]
  cascade: Cascade
  test: FrozenConfigDict  # config.model.test
  pyramid_tasks: tuple[PyramidTask, ...] = ()

  def loss(self, call: Call, batch: Batch, key: Array) -> Losses:
    """Losses and log values by name; in a cascade those of stage k end in `_k`."""
    pyramid = self.pyramid(call, batch)
    keys = jax.vmap(lambda key: jax.random.split(key, 1 + len(self.stages)))(image_keys(key, batch))
    losses, proposals = self.proposals.train(call, pyramid, batch, keys[:, 0])
    for task in self.pyramid_tasks:
      losses |= task.loss(call, task.outputs(call, pyramid), batch)
    for k, stage in enumerate(self.stages):
      targets = stage.label(call, pyramid, proposals, batch, keys[:, 1 + k])
      features = stage.features(call, pyramid, targets.boxes)
      outputs = stage.outputs(call, optax.scale_gradient(features, self.cascade.feature_gradient), targets.boxes)
      stage_key = jax.random.fold_in(key, k)
      of_stage = stage.loss(call, outputs, targets, batch, stage_key)
      for task in self.tasks:
        of_stage |= task.loss(call, k, pyramid, features, targets, batch, stage_key)
      end, weight = (f'_{k}' if len(self.stages) > 1 else ''), self.cascade.loss_weights[k]
      losses |= {name + end: weight * x if name.startswith('loss_') else x for name, x in of_stage.items()}
      if k + 1 < len(self.stages):
        proposals = stage.refined_proposals(outputs, targets, batch.image_size)
    return losses

  def predict(self, call: Call, batch: Batch) -> Detections:
    """Detections with the stages' average class scores, the last stage's boxes and the tasks' predictions."""
    pyramid = self.pyramid(call, batch)
    proposals = self.proposals.propose(call, pyramid, batch)
    detections = self.with_tasks(call, pyramid, self.detections(call, pyramid, proposals, batch), batch)
    for task in self.pyramid_tasks:
      detections = task.predict(task.outputs(call, pyramid), detections)
    return detections

  def detections(self, call: Call, pyramid: Pyramid, proposals: Proposals, batch: Batch) -> Detections:
    """Detections of the box stages, from proposals."""
    all_outputs = []
    for k, stage in enumerate(self.stages):
      outputs = stage.outputs(call, stage.features(call, pyramid, proposals.boxes), proposals.boxes)
      all_outputs.append(outputs)
      if k + 1 < len(self.stages):
        refined = call.step('refinement', stage.refine, outputs, proposals.boxes, batch.image_size, gradient=0)
        proposals = proposals.replace(boxes=refined)
    scores, last = self.scores(all_outputs), self.stages[-1]
    found = partial(detect, decode=last.decode, test=self.test)
    return call.step('detections', found, scores, all_outputs[-1].regression, proposals, batch.image_size, gradient=0)

  def with_tasks(self, call: Call, pyramid: Pyramid, detections: Detections, batch: Batch) -> Detections:
    """Adds the predictions of all tasks to detections, in order."""
    for task in self.tasks:
      detections = task.predict(call, pyramid, self.stages[-1].features, detections, batch.image_size)
    return detections

  def scores(self, all_outputs: list[BoxOutputs]) -> Float[Array, 'B P K']:
    """Class scores from the outputs of all stages."""
    if self.cascade.average == 'logits':
      mean = jnp.stack([outputs.logits for outputs in all_outputs]).mean(0)
      return self.stages[-1].scores(all_outputs[-1].replace(logits=mean))
    by_stage = [stage.scores(outputs) for stage, outputs in zip(self.stages, all_outputs, strict=True)]
    return sum(by_stage) / len(by_stage)

  def pyramid(self, call: Call, batch: Batch) -> Pyramid:
    """Features {level: [B, H, W, C]} shared by all heads."""
    return call('neck', call('backbone', self.preprocess(batch)))
