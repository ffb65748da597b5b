"""Overfits a detector on a few photographs: if it cannot do that, it has an error.

  python scripts/overfit.py --photos DIR --workdir runs/overfit

DIR contains images and an LVIS or COCO annotation file. The first `--images` photographs whose objects are all at least
`--smallest` pixels wide and high on the canvas become both the training and the validation split of a small Mask R-CNN
with random initial weights. Writes the loss curve and pictures into `--docs`.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parents[1]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--photos', required=True, type=pathlib.Path)
  parser.add_argument('--annotations', default='train.json', help='below --photos')
  parser.add_argument('--workdir', required=True, type=pathlib.Path)
  parser.add_argument('--docs', type=pathlib.Path, help='where the curve and pictures go; nowhere if not given')
  parser.add_argument('--images', type=int, default=32)
  parser.add_argument('--canvas', type=int, default=256, help='pixels, a square')
  parser.add_argument('--smallest', type=float, default=16)
  parser.add_argument('--steps', type=int, default=1500)
  args = parser.parse_args()

  args.workdir.mkdir(parents=True, exist_ok=True)
  annotations = args.workdir.resolve() / 'overfit.json'
  chosen = choose(json.loads((args.photos / args.annotations).read_text()), args)
  annotations.write_text(json.dumps(chosen))

  from input_pipeline import dataset as dataset_lib
  from jaxdet.cli.log import set_up_log
  from jaxdet.evaluation import evaluate
  from jaxdet.models.build import build_detector
  from jaxdet.training.loop import train

  set_up_log()
  config = overfit_config(args, annotations)
  dataset = dataset_lib.build(config, str(args.workdir))
  detector = build_detector(config.model, len(dataset.categories))
  state = train(config, str(args.workdir), dataset, detector)
  metrics = evaluate(config, detector, state.variables, dataset, str(args.workdir))
  if args.docs:
    write_docs(args, dataset, metrics)


def choose(annotations: dict, args: argparse.Namespace) -> dict:
  """Selects the first photographs of an annotation file that have only objects of sufficient size."""
  objects = {}
  for annotation in annotations['annotations']:
    objects.setdefault(annotation['image_id'], []).append(annotation)
  images = []
  for image in sorted(annotations['images'], key=lambda image: image['id']):
    scale = args.canvas / max(image['height'], image['width'])
    sides = [min(annotation['bbox'][2:]) * scale for annotation in objects.get(image['id'], ())]
    if sides and min(sides) >= args.smallest:
      images.append(image)
  if len(images) < args.images:
    raise ValueError(f'only {len(images)} photographs have objects of {args.smallest} pixels; lower --smallest')
  images = images[: args.images]
  kept = [annotation for image in images for annotation in objects[image['id']]]
  return annotations | {'images': images, 'annotations': kept}


def overfit_config(args: argparse.Namespace, annotations: pathlib.Path):
  from jaxdet.configuration import load_config

  config = load_config(f'{HERE}/configs/lvis_maskrcnn.py:mini').unlock()
  size = args.canvas
  config.data.name = 'lvis'
  config.data.dir = str(args.photos)
  config.data.train = config.data.val = (str(annotations),)
  config.data.records = str(args.workdir.resolve() / 'records')
  config.data.resize = {**config.data.resize, 'sizes': (size,), 'test_size': size, 'max_size': size}
  config.data.canvases = ((size, size),)
  config.data.max_objects = 32
  config.data.sampler.name = 'uniform'
  config.data.flip = 0.0  # train on the pictures that are evaluated
  config.model.proposals.anchors.sizes = ((16,), (32,), (64,), (128,), (224,))
  config.model.roi.mask_head.channels = 64
  config.train.steps = args.steps
  config.train.batch_size = 4
  config.train.schedule.base_batch_size = 4
  config.train.schedule.milestones = (int(args.steps * 0.75), int(args.steps * 0.92))
  config.train.checkpoint_every = args.steps
  config.eval.pictures = 32
  return config.lock()


def write_docs(args: argparse.Namespace, dataset, metrics: dict) -> None:
  """Writes the loss curve, and the detections in the first photographs, into `--docs`.

  The photographs may not be published: objects and detections are drawn on a blank page.
  """
  import matplotlib

  matplotlib.use('Agg')
  import matplotlib.pyplot as plt
  import numpy as np

  from jaxdet.evaluation.ground_truth import load_ground_truth
  from jaxdet.evaluation.pictures import FirstImages

  args.docs.mkdir(parents=True, exist_ok=True)
  rows = [json.loads(line) for line in (args.workdir / 'metrics.jsonl').read_text().splitlines()]
  figure, axes = plt.subplots(figsize=(7, 4))
  for name in sorted(name for name in rows[0] if name.startswith('loss_')):
    axes.plot([row['step'] for row in rows if name in row], [row[name] for row in rows if name in row], label=name)
  scores = ', '.join(f'{kind} AP {metrics[kind]["AP"]:.1f}' for kind in ('bbox', 'segm'))
  axes.set(xlabel='step', ylabel='loss', yscale='log', title=scores)
  axes.legend()
  figure.tight_layout()
  figure.savefig(args.docs / 'overfit_curve.png', dpi=100)

  blank = FirstImages(6)
  for batch in dataset.eval_batches():
    blank.add(batch.replace(image=np.full_like(batch.image, 225)))
  truth = load_ground_truth(dataset.annotations)
  blank.draw(dataset.image_ids, truth, str(args.workdir / 'results_val.json'), 0.5, str(args.docs / 'overfit'))


if __name__ == '__main__':
  sys.path.insert(0, str(HERE))
  main()
