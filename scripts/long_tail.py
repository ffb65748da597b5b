"""Compares methods for long tails on a small Mask R-CNN: equal training on generated images, with several seeds.

  python scripts/long_tail.py [--variants none,rfs] [--seeds 0,1] [--steps 300]    trains missing runs
  python scripts/long_tail.py --docs                                            writes the tables of docs/long_tail.md

All seeds share one data set and one pretrained detector, which was trained on other categories of the same kind. A run
has the folder OUT/VARIANT/SEED and is complete when its metrics.json exists; the same command resumes an interrupted
run.
"""

import argparse
import json
import multiprocessing
import pathlib
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'long_tail.md'
BEGIN, END = '<!-- written by scripts/long_tail.py -->', '<!-- end -->'  # of the part of the page that is written

CATEGORIES = 48
IMAGES = {'images': 1000, 'val_images': 1000, 'image_size': 128, 'categories': CATEGORIES, 'seed': 0}
START_IMAGES = {'images': 3000, 'val_images': 10, 'image_size': 128, 'categories': 288, 'seed': 1}
START_STEPS = 1500
CANVAS = 96  # pixels, a square
# LVIS's threshold of 1e-3 is the share of 100 images, the limit of common and frequent categories: here that is 0.1.
THRESHOLD = 100 / IMAGES['images']
SECOND_STAGE = 0.1  # steps, relative to the first stage

RFS = {'data.sampler.name': 'repeat_factor', 'data.sampler.threshold': THRESHOLD}
COSINE = {'model.roi.box_head.classifier': 'cosine'}
REWEIGHTED = {'name': 'reweighted', 'scale': 0.8}
DISALIGN = {'model.roi.box_head.calibration': 'disalign', 'model.roi.class_loss': REWEIGHTED}
# 50 of LVIS's 1203 classes are the classes of a batch and a few more; here 24 of 48 are.
FEDERATED = {'name': 'federated', 'slots': 24, 'power': 0.5}
SEESAW = {'name': 'seesaw', 'p': 0.8, 'q': 2.0}
EQUALIZATION_V2 = {'name': 'equalization_v2', 'mu': 0.8, 'alpha': 4.0, 'gamma': 12.0}

VARIANTS = {  # changes of the config; a variant comes after the one that it starts from
  'none': {},
  'rfs': RFS,
  'cosine': COSINE,
  'rfs+cosine': RFS | COSINE,
  'rfs+cosine+disalign': RFS | COSINE | DISALIGN,
  'federated': {'model.roi.class_loss': FEDERATED},
  'seesaw': {'model.roi.class_loss': SEESAW},
  'eqlv2': {'model.roi.class_loss': EQUALIZATION_V2},
}
CONTINUES = {'rfs+cosine+disalign': 'rfs+cosine'}

KINDS = {'bbox': 'box', 'segm': 'mask'}
METRICS = ('AP', 'APr', 'APc', 'APf')
Scores = Mapping[str, Mapping[int, Mapping]]  # contents of metrics.json, by variant and seed


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'runs' / 'long_tail')
  parser.add_argument('--variants', type=lambda text: text.split(','), default=list(VARIANTS))
  parser.add_argument('--seeds', type=lambda text: [int(seed) for seed in text.split(',')], default=[0, 1, 2])
  parser.add_argument('--steps', type=int, default=300, help='of a run, 8 images each')
  parser.add_argument('--docs', action='store_true', help='train nothing, write the tables')
  args = parser.parse_args()
  unknown = sorted(set(args.variants) - set(VARIANTS))
  if unknown:
    raise ValueError(f"unknown variant '{unknown[0]}': choose of {', '.join(VARIANTS)}")
  args.out = args.out.resolve()
  if args.docs:
    write_docs(args.out, args.seeds)
    return

  check_budget(args.out / 'budget.json', args.steps)
  make_data(args.out)
  train(args.out / 'start', start_config(args.out))
  for seed in args.seeds:
    for name in VARIANTS:
      if name in args.variants:
        train(args.out / name / str(seed), run_config(args.out, name, seed, args.steps))


def check_budget(path: pathlib.Path, steps: int) -> None:
  """Raises ValueError if the folder has runs of another length."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if not path.exists():
    path.write_text(json.dumps({'steps': steps}))
  found = json.loads(path.read_text())['steps']
  if found != steps:
    raise ValueError(f'{path.parent} has runs of {found} steps, not {steps}: choose another --out, or that --steps')


def make_data(out: pathlib.Path) -> None:
  """Draws both data sets; the pretrained detector's images have none of the other set's categories."""
  from input_pipeline import shapes

  shapes.generate(str(out / 'data'), **IMAGES)
  shapes.generate(str(out / 'start_data'), **START_IMAGES)
  path = out / 'start_data' / 'others.json'
  if not path.exists():
    path.write_text(json.dumps(without_categories(json.loads((out / 'start_data' / 'train.json').read_text()))))


def without_categories(annotations: dict) -> dict:
  """Keeps the images of an annotation file without categories with an id up to CATEGORIES."""
  shown = {object_['image_id'] for object_ in annotations['annotations'] if object_['category_id'] <= CATEGORIES}
  return annotations | {
    'images': [image for image in annotations['images'] if image['id'] not in shown],
    'annotations': [object_ for object_ in annotations['annotations'] if object_['image_id'] not in shown],
  }


def train(workdir: pathlib.Path, config) -> None:
  """Trains and evaluates in its own process, unless the run is complete."""
  if (workdir / 'metrics.json').exists():
    return
  began = time.monotonic()
  process = multiprocessing.get_context('spawn').Process(target=train_here, args=(str(workdir), config))
  process.start()
  process.join()
  if process.exitcode:
    sys.exit(f'{workdir}: ended with status {process.exitcode}')
  print(f'{workdir}: {time.monotonic() - began:.0f} s', flush=True)


def train_here(workdir: str, config) -> None:
  from jaxdet import compilation
  from jaxdet.cli.jobs.training import train
  from jaxdet.cli.log import set_up_log

  set_up_log()
  compilation.use_cache()
  train(config, workdir)


def base_config(steps: int):

  from jaxdet.configuration import load_config

  config = load_config(f'{ROOT}/configs/lvis_maskrcnn.py:mini').unlock()
  config.data.name = 'lvis'  # so that it is not drawn again for every seed
  config.data.sampler.name = 'uniform'
  config.data.resize = {**config.data.resize, 'sizes': (CANVAS,), 'test_size': CANVAS, 'max_size': CANVAS}
  config.data.canvases = ((CANVAS, CANVAS),)
  config.train.steps = steps
  config.train.schedule.milestones = (int(0.75 * steps), int(0.92 * steps))
  config.train.schedule.warmup_steps = min(100, steps // 4)
  config.train.checkpoint_every = steps
  config.train.keep_checkpoints = 1
  config.eval.pictures = 0
  return config


def start_config(out: pathlib.Path):
  """Config of the pretrained detector."""
  config = base_config(START_STEPS)
  config.data.dir = str(out / 'start_data')
  config.data.train = ('others.json',)
  return config.lock()


def run_config(out: pathlib.Path, name: str, seed: int, steps: int):
  """Config of a variant's run; stem and first stage are frozen, as in Detectron2."""
  calibrated = name in CONTINUES
  config = base_config(second_stage_steps(steps) if calibrated else steps)
  config.seed = seed
  config.data.dir = str(out / 'data')
  config.train.init_from = str(out / CONTINUES[name] / str(seed) if calibrated else out / 'start')
  config.model.backbone.frozen_stages = 1
  if calibrated:  # DisAlign's second stage: one drop, no other change
    config.train.schedule.milestones = (int(0.89 * config.train.steps),)
  for key, value in VARIANTS[name].items():
    set_value(config, key, value)
  return config.lock()


def second_stage_steps(steps: int) -> int:
  """Steps of DisAlign's second stage after a first stage of `steps` steps."""
  return int(SECOND_STAGE * steps)


def set_value(tree, key: str, value) -> None:
  """Sets the value at a path, such as 'data.sampler.name'."""
  *place, last = key.split('.')
  for part in place:
    tree = tree[part]
  tree[last] = value


def write_docs(out: pathlib.Path, seeds: Sequence[int]) -> None:
  """Writes the page's tables and its picture from the metrics of complete runs."""
  scores = read_scores(out, seeds)
  if not scores:
    raise FileNotFoundError(f'{out} holds no metrics.json of a run: train first, or give --out')
  annotations = [json.loads((out / 'data' / f'{split}.json').read_text()) for split in ('train', 'val')]
  steps = json.loads((out / 'budget.json').read_text())['steps']
  tables = [
    group_table(*annotations),
    f'{steps} steps of 8 images a run, {second_stage_steps(steps)} more for the calibration. {missing(scores, seeds)}',
    *(f'**{kind.capitalize()}**\n\n{score_table(scores, key)}' for key, kind in KINDS.items()),
    f'**Mask, difference from `none` with the same seed**\n\n{difference_table(scores, "segm")}',
  ]
  PAGE.write_text(replace_part(PAGE.read_text(), '\n\n'.join(tables)))
  draw(scores, PAGE.with_suffix('.png'))


def read_scores(out: pathlib.Path, seeds: Sequence[int]) -> Scores:
  """Reads metrics.json of all complete runs, by variant and seed."""
  scores = {}
  for name in VARIANTS:
    files = {seed: out / name / str(seed) / 'metrics.json' for seed in seeds}
    done = {seed: json.loads(file.read_text()) for seed, file in files.items() if file.exists()}
    if done:
      scores[name] = done
  return scores


def missing(scores: Scores, seeds: Sequence[int]) -> str:
  """Describes the missing runs in one sentence."""
  lacking = [f'{name} {seed}' for name in VARIANTS for seed in seeds if seed not in scores.get(name, {})]
  if lacking:
    return f'Not done (variant and seed): {", ".join(lacking)}.'
  return f'All {len(VARIANTS)} variants are done with {len(seeds)} seeds.'


def group_table(train: Mapping, val: Mapping) -> str:
  """Makes a table of categories and objects of the groups rare, common and frequent."""
  rows = [['', 'categories', 'training images of a category', 'training objects', 'validation objects']]
  for letter, group in (('r', 'rare'), ('c', 'common'), ('f', 'frequent')):
    counts = {c['id']: c['image_count'] for c in train['categories'] if c['frequency'] == letter}
    objects = [sum(a['category_id'] in counts for a in split['annotations']) for split in (train, val)]
    rows.append([group, len(counts), f'{min(counts.values())} to {max(counts.values())}', *objects])
  return table(rows)


def score_table(scores: Scores, kind: str) -> str:
  """Makes a table of mean and spread over the seeds: one line per variant, one column per metric."""
  rows = [['', *METRICS]]
  for name, runs in scores.items():
    rows.append([f'`{name}`', *(spread([run[kind][metric] for run in runs.values()]) for metric in METRICS)])
  return table(rows)


def difference_table(scores: Scores, kind: str, base: str = 'none') -> str:
  """Makes the same table of differences between the runs of a variant and of `base` with the same seed."""
  rows = [['', *METRICS]]
  for name, runs in scores.items():
    pairs = [(run[kind], scores[base][seed][kind]) for seed, run in runs.items() if seed in scores.get(base, {})]
    if name != base and pairs:
      cells = [spread([ours[metric] - theirs[metric] for ours, theirs in pairs], sign='+') for metric in METRICS]
      rows.append([f'`{name}`', *cells])
  return table(rows)


def spread(values: Sequence[float], sign: str = '') -> str:
  """Formats 'mean ± sample standard deviation (least to largest)'; a single value alone."""
  if len(values) == 1:
    return f'{values[0]:{sign}.1f}'
  low, high = min(values), max(values)
  mean, deviation = statistics.mean(values), statistics.stdev(values)
  return f'{mean:{sign}.1f} ± {deviation:.1f} ({low:{sign}.1f} to {high:{sign}.1f})'


def table(rows: Sequence[Sequence]) -> str:
  """Formats a table in Markdown; the first row is its heading."""
  head, *body = [f'| {" | ".join(map(str, row))} |' for row in rows]
  return '\n'.join([head, '|' + '---|' * len(rows[0]), *body])


def replace_part(page: str, text: str) -> str:
  """Replaces the text between the two marks of a page.

  Raises:
    ValueError: the page lacks a mark.
  """
  before, begin, rest = page.partition(BEGIN)
  _, end, after = rest.partition(END)
  if not begin or not end:
    raise ValueError(f"{PAGE} has no lines '{BEGIN}' and '{END}', between which the tables go")
  return f'{before}{begin}\n\n{text}\n\n{end}{after}'


def draw(scores: Scores, path: pathlib.Path) -> None:
  """Draws mask AP by group: a dot per run, a bar for the mean."""
  import matplotlib

  matplotlib.use('Agg')
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(9, 4))
  for i, metric in enumerate(METRICS[1:]):
    for row, runs in enumerate(scores.values()):
      values = [run['segm'][metric] for run in runs.values()]
      place = row + 0.27 * (i - 1)
      axes.bar(place, statistics.mean(values), 0.25, color=f'C{i}', alpha=0.5, label='' if row else metric)
      axes.plot([place] * len(values), values, '.', color='black', markersize=4)
  axes.set_xticks(range(len(scores)), [name.replace('+', '\n+') for name in scores], fontsize=8)
  axes.set(ylabel='mask AP')
  axes.legend()
  figure.tight_layout()
  figure.savefig(path, dpi=100)


if __name__ == '__main__':
  sys.path.insert(0, str(ROOT))
  main()
