"""Compile time, step time and peak memory of one training step and one prediction, on random images.

  python scripts/bench_step.py --config configs/lvis_maskrcnn.py --batch 2
  python scripts/bench_step.py --program torchvision --batch 2

Each program runs in a process of its own, so that the peak memory is its own; torchvision's
maskrcnn_resnet50_fpn is the same network with its own defaults for sampling. One JSON line a run.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

import numpy as np

OBJECTS = 13  # an image; LVIS has 12.7 on average


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--program', choices=('jaxdet', 'torchvision'), default='jaxdet')
  parser.add_argument('--config', default='configs/lvis_maskrcnn.py', help='path[:variant], for jaxdet')
  parser.add_argument('--height', type=int, default=800)
  parser.add_argument('--width', type=int, default=1344)
  parser.add_argument('--batch', type=int, default=2)
  parser.add_argument('--classes', type=int, default=1203)
  parser.add_argument('--dtype', default='float32', help='of activations, for jaxdet')
  parser.add_argument('--repeats', type=int, default=3)
  args = parser.parse_args()
  report = {'jaxdet': bench_jaxdet, 'torchvision': bench_torchvision}[args.program](args)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(json.dumps(vars(args) | report | {'peak_process_gib': round(peak, 2)}))


def objects(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
  """(boxes [B, OBJECTS, 4], labels [B, OBJECTS]) of a plausible size, the same for both programs."""
  rng = np.random.default_rng(0)
  size = np.array([args.width, args.height], np.float32)
  sides = size * rng.uniform(0.03, 0.4, (args.batch, OBJECTS, 2)).astype(np.float32)
  corner = (size - sides) * rng.uniform(0, 1, (args.batch, OBJECTS, 2)).astype(np.float32)
  return np.concatenate([corner, corner + sides], -1), rng.integers(0, args.classes, (args.batch, OBJECTS))


def bench_jaxdet(args: argparse.Namespace) -> dict:
  import jax
  import jax.numpy as jnp

  from jaxdet.command_line import load_config
  from jaxdet.models.build import build_detector
  from jaxdet.structures import Batch
  from jaxdet.training.optimizer import build_optimizer
  from jaxdet.training.state import create_state
  from jaxdet.training.step import make_train_step

  config = load_config(args.config).unlock()
  config.model.dtype = args.dtype
  detector = build_detector(config.model, args.classes)

  boxes, labels = objects(args)
  cells = config.data.mask_size
  padding = ((0, 0), (0, config.data.max_objects - OBJECTS))
  boxes = np.pad(boxes, (*padding, (0, 0)))
  rng = np.random.default_rng(1)
  size = np.tile(np.array([[args.height, args.width]], np.int32), (args.batch, 1))
  batch = Batch(
    image=rng.integers(0, 256, (args.batch, args.height, args.width, 3), np.uint8),
    image_size=size,
    original_size=size,
    index=np.arange(args.batch, dtype=np.int32),
    valid=np.ones(args.batch, bool),
    boxes=boxes,
    labels=np.pad(labels, padding).astype(np.int32),
    objects_valid=np.pad(np.ones((args.batch, OBJECTS), bool), padding),
    mask_bits=np.full((args.batch, config.data.max_objects, cells, cells // 8), 255, np.uint8),
    mask_windows=boxes,
  )
  batch = jax.device_put(batch)
  report = {'backend': jax.default_backend(), 'device': jax.devices()[0].device_kind}

  state = create_state(config, detector, jax.random.key(0))
  step = make_train_step(config, detector, build_optimizer(config, detector, state.params))
  started = time.perf_counter()
  compiled = step.lower(state, batch, jax.random.key(1)).compile()
  report['train_compile_s'] = time.perf_counter() - started
  report['train_device_gib'] = device_gib(compiled)
  variables = jax.tree.map(jnp.copy, state.variables)

  def train_step():
    nonlocal state
    state, metrics = compiled(state, batch, jax.random.key(1))
    jax.block_until_ready(metrics)

  report |= timed('train', train_step, args)
  started = time.perf_counter()
  predict = jax.jit(detector.predict).lower(variables, batch).compile()
  report['predict_compile_s'] = time.perf_counter() - started
  report['predict_device_gib'] = device_gib(predict)
  return report | timed('predict', lambda: jax.block_until_ready(predict(variables, batch)), args)


def bench_torchvision(args: argparse.Namespace) -> dict:
  import torch
  from torchvision.models.detection import maskrcnn_resnet50_fpn

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  shorter, longer = sorted((args.height, args.width))
  # One class more: torchvision counts the background.
  model = maskrcnn_resnet50_fpn(
    weights=None, weights_backbone=None, num_classes=args.classes + 1, min_size=shorter, max_size=longer
  ).to(device)
  boxes, labels = objects(args)
  images = list(torch.rand(args.batch, 3, args.height, args.width, device=device))
  targets = []
  for image_boxes, image_labels in zip(boxes, labels, strict=True):
    masks = torch.zeros(OBJECTS, args.height, args.width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, image_boxes.round().astype(int), strict=True):
      mask[y1:y2, x1:x2] = 1
    targets.append(
      {
        'boxes': torch.tensor(image_boxes, device=device),
        'labels': torch.tensor(image_labels + 1, device=device),
        'masks': masks.to(device),
      }
    )
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, weight_decay=1e-4)

  def train_step():
    optimizer.zero_grad(set_to_none=True)
    sum(model(images, targets).values()).backward()
    optimizer.step()
    if device == 'cuda':
      torch.cuda.synchronize()

  report = {'backend': device} | timed('train', train_step, args)
  model.eval()

  @torch.inference_mode()
  def predict():
    model(images)
    if device == 'cuda':
      torch.cuda.synchronize()

  return report | timed('predict', predict, args)


def timed(name: str, call, args: argparse.Namespace) -> dict:
  """Median and spread in seconds of `repeats` calls after one that is not counted."""
  seconds = []
  for repeat in range(args.repeats + 1):
    started = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - started)
    print(f'{name} {repeat}: {seconds[-1]:.2f} s', file=sys.stderr)
  counted = seconds[1:]
  return {f'{name}_s': statistics.median(counted), f'{name}_spread_s': max(counted) - min(counted)}


def device_gib(compiled) -> float | None:
  """What the program holds on the device at its peak, arguments included, by the compiler's own account."""
  memory = compiled.memory_analysis()
  if memory is None:
    return None
  held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
  return round((held - memory.alias_size_in_bytes) / 2**30, 3)


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
