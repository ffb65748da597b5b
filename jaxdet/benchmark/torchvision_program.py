"""Measures a torchvision detector in its own process, for comparison.

  PYTHON torchvision_program.py DATA.npz '{"model": "maskrcnn_resnet50_fpn", "task": "train", "mode": "eager", ..}'

PYTHON is an interpreter with torch and torchvision; jaxdet is not imported. The last line of the output has the
results in JSON. torchvision_side.py runs this program and describes the fields.
"""

import contextlib
import json
import resource
import statistics
import sys
import time

import numpy as np
import torch
import torchvision
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

GIB = 2**30
ENOUGH, MOST = 1.0, 100  # seconds and calls, as in timing.py
WARM_UP = {'compile': 3}  # calls; changed shapes are compiled again
BRANCH_SCALE = 0.2  # scale of the last norm of a residual branch, if batch norm is frozen


def main() -> None:
  data, spec = np.load(sys.argv[1]), json.loads(sys.argv[2])
  torch.manual_seed(0)
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  model = make_model(spec, tuple(data['images'].shape[1:3])).to(device)
  modes = spec['mode'].split('+')
  if 'channels_last' in modes:
    model = model.to(memory_format=torch.channels_last)
  images = [torch.tensor(image, device=device).permute(2, 0, 1) / 255 for image in data['images']]
  targets = make_targets(data, spec, device)

  def precision():
    return torch.autocast(device, torch.bfloat16) if 'amp' in modes else contextlib.nullcontext()

  if spec['candidates'] and spec['task'] == 'predict':
    with precision():
      set_threshold(model, images, spec['candidates'])
  with precision():
    regions = count_regions(model, images, targets, spec['task'])
  program = torch.compile(model) if 'compile' in modes else model
  call = {'train': training, 'predict': prediction}[spec['task']](program, model, images, targets, spec, precision)

  def synchronised() -> None:
    call()
    if device == 'cuda':
      torch.cuda.synchronize()

  first, seconds = timed(synchronised, spec['repeats'], WARM_UP.get('compile' if 'compile' in modes else '', 1))
  median = statistics.median(seconds)
  peak = torch.cuda.max_memory_allocated() / GIB if device == 'cuda' else None
  report = {
    'first_s': first,
    'step_s': median,
    'spread_s': max(seconds) - min(seconds),
    'calls': len(seconds),
    'images_per_s': len(images) / median,
    'memory_gib': {'device': peak, 'process': process_bytes() / GIB},
    'regions_an_image': {name: count / len(images) for name, count in regions.items()},
    'device': {
      'backend': device,
      'kind': torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
      'count': 1,
      'threads': torch.get_num_threads(),
    },
    'versions': {'torch': torch.__version__, 'torchvision': torchvision.__version__},
  }
  print(json.dumps(report))


def make_model(spec: dict, canvas: tuple[int, int]) -> torch.nn.Module:
  """Makes the model with random weights, for images of the canvas's size."""
  settings = dict(spec['settings'])
  if spec['sampling_ratio'] is not None:
    levels = ['0', '1', '2', '3']
    settings['box_roi_pool'] = MultiScaleRoIAlign(levels, 7, spec['sampling_ratio'])
    if spec['model'].startswith('maskrcnn'):
      settings['mask_roi_pool'] = MultiScaleRoIAlign(levels, 14, spec['sampling_ratio'])
  model = getattr(detection, spec['model'])(
    weights=None,
    weights_backbone=None,
    num_classes=spec['num_classes'],
    trainable_backbone_layers=5,  # the only value allowed without weights
    min_size=min(canvas),
    max_size=max(canvas),
    **settings,
  )
  model.transform.resize = lambda image, target=None: (image, target)
  model.transform.postprocess = lambda result, *sizes: result
  body = model.backbone.body
  if spec['norm'] == 'frozen_bn':
    freeze_batch_norm(body)
  parts = {'conv1': 0, 'bn1': 0} | {f'layer{k}': k for k in range(1, 5)}
  for name, stage in parts.items():
    getattr(body, name).requires_grad_(spec['frozen_stages'] < stage)
  return model


def freeze_batch_norm(module: torch.nn.Module) -> None:
  """Replaces all batch norms below a module by frozen ones.

  These do not normalise. So that activations stay finite, the last norm of a residual branch is scaled, as in jaxdet.
  """
  for name, child in module.named_children():
    if isinstance(child, torch.nn.BatchNorm2d):
      norm = FrozenBatchNorm2d(child.num_features)
      norm.weight.fill_(BRANCH_SCALE if name == 'bn3' else 1.0)
      setattr(module, name, norm)
    else:
      freeze_batch_norm(child)


def make_targets(data: dict, spec: dict, device: str) -> list[dict]:
  """Makes boxes, labels and masks of every image."""
  targets = []
  for i, (boxes, labels) in enumerate(zip(data['boxes'], data['labels'], strict=True)):
    target = {'boxes': boxes, 'labels': labels.astype(np.int64) + spec['first_label']}
    if 'masks' in data:
      target['masks'] = np.unpackbits(data['masks'][i], axis=-1, count=data['images'].shape[2])
    targets.append({name: torch.tensor(value, device=device) for name, value in target.items()})
  return targets


@torch.inference_mode()
def set_threshold(model: torch.nn.Module, images: list, candidates: int) -> None:
  """Sets the score threshold so that `candidates` (box, class) pairs per image pass it."""
  heads, logits = model.roi_heads, []
  hook = heads.box_predictor.register_forward_hook(lambda _, inputs, output: logits.append(output[0]))
  heads.score_thresh = 1.0  # nothing passes
  model.eval()(images)
  hook.remove()
  scores = torch.cat(logits).float().softmax(-1)[:, 1:].flatten()
  passing = min(candidates * len(images), len(scores) - 1)
  heads.score_thresh = scores.kthvalue(len(scores) - passing).values.item()


@torch.no_grad()
def count_regions(model: torch.nn.Module, images: list, targets: list, task: str) -> dict[str, int]:
  """Number of RoIs of the box head and the mask head in one call, by name; {} without RoI heads."""
  counts, hooks = {}, []
  for name, head in getattr(model, 'roi_heads', torch.nn.Module()).named_children():
    if name in ('box_head', 'mask_head'):
      hooks.append(head.register_forward_pre_hook(lambda _, inputs, name=name: counts.update({name: len(inputs[0])})))
  model.train(task == 'train')
  model(images, targets if task == 'train' else None)
  for hook in hooks:
    hook.remove()
  return counts


def training(program, model: torch.nn.Module, images: list, targets: list, spec: dict, precision):
  """Makes a function that runs one training step; the learning rate is 0, so that all calls do the same."""
  settings = spec['optimizer']
  trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
  if settings['name'] == 'sgd':
    optimizer = torch.optim.SGD(trained, lr=0.0, momentum=settings['momentum'], weight_decay=settings['weight_decay'])
  else:
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=settings['weight_decay'])
  model.train()
  if spec['norm'] == 'bn_eval':
    for module in model.backbone.body.modules():
      if isinstance(module, torch.nn.BatchNorm2d):
        module.eval()

  def call() -> None:
    optimizer.zero_grad(set_to_none=True)
    with precision():
      loss = sum(program(images, targets).values())
    if not torch.isfinite(loss):
      raise FloatingPointError('the loss is not finite with random weights: this does not measure what training does')
    loss.backward()
    if settings['clip_norm']:
      torch.nn.utils.clip_grad_norm_(trained, settings['clip_norm'])
    optimizer.step()

  return call


def prediction(program, model: torch.nn.Module, images: list, targets: list, spec: dict, precision):
  """Makes a function that predicts."""
  model.eval()

  @torch.inference_mode()
  def call() -> None:
    with precision():
      program(images)

  return call


def timed(call, repeats: int, warm_up: int) -> tuple[float, list[float]]:
  """Seconds of the first call, and of the timed calls."""
  started = time.perf_counter()
  call()
  first = time.perf_counter() - started
  for _ in range(warm_up - 1):
    call()
  seconds = []
  while len(seconds) < repeats or (sum(seconds) < ENOUGH and len(seconds) < MOST):
    started = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - started)
  return first, seconds


def process_bytes() -> int:
  """Peak resident memory of this process in bytes."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


if __name__ == '__main__':
  main()
