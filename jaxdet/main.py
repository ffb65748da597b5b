"""Trains, evaluates and applies a detector.

  python -m jaxdet.main --config configs/lvis_maskrcnn.py:mini --workdir runs/mini [--config.train.steps=500 ..]
  python -m jaxdet.main eval --workdir runs/mini
  python -m jaxdet.main predict --workdir runs/mini IMAGE|FOLDER|LIST.txt .. --output runs/mini/predictions

`train`, the default, goes on from the last checkpoint in the workdir, and evaluates at the end. `eval` and
`predict` take the config of the checkpoint unless --config is given.
"""

import os

from absl import flags, logging
from ml_collections import config_flags

from jaxdet import command_line
from jaxdet.models.build import build_detector
from jaxdet.training import loop, parallel
from jaxdet.training.categories import check_same_categories, set_num_classes
from jaxdet.training.checkpoint import load_for_inference

CONFIG = config_flags.DEFINE_config_file('config', None, 'FILE[:VARIANT], as configs/lvis_maskrcnn.py:mini.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'For eval and predict; the last one of the workdir if not given.')
OUTPUT = flags.DEFINE_string('output', None, "Folder for predict's results; WORKDIR/predictions if not given.")
MULTIHOST = flags.DEFINE_bool('multihost', None, 'Join other processes; if not given, where the environment has such.')


def main(argv: list[str]) -> None:
  command, *arguments = argv[1:] or ['train']
  if command not in COMMANDS:
    raise ValueError(f"unknown command '{command}': choose {', '.join(COMMANDS)}")
  if not WORKDIR.value:
    raise ValueError('give --workdir, the folder of the run')
  if arguments and command != 'predict':
    raise ValueError(f"{command} takes flags only, not '{arguments[0]}'")
  command_line.use_compilation_cache()
  parallel.initialize_processes(MULTIHOST.value)
  COMMANDS[command](*arguments)


def train() -> None:
  from input_pipeline import dataset as datasets
  from jaxdet.evaluation import evaluate

  config, workdir = CONFIG.value, WORKDIR.value
  if config is None:
    raise ValueError('train needs a config: --config configs/lvis_maskrcnn.py:mini')
  dataset = datasets.build(config, workdir)
  set_num_classes(config, dataset.categories)
  detector = build_detector(config.model, config.model.num_classes)
  loop.train(
    config, workdir, dataset, detector, lambda variables: evaluate(config, detector, variables, dataset, workdir)
  )


def evaluate_checkpoint() -> None:
  from input_pipeline import dataset as datasets
  from jaxdet.evaluation import evaluate

  variables, metadata = load_for_inference(CHECKPOINT.value or WORKDIR.value)
  config = CONFIG.value or metadata.config
  dataset = datasets.build(config, WORKDIR.value)
  check_same_categories(metadata.categories, dataset.categories)
  detector = build_detector(config.model, len(metadata.categories))
  evaluate(config, detector, variables, dataset, WORKDIR.value)


def predict_images(*arguments: str) -> None:
  from input_pipeline.predict_images import image_batches, list_images
  from jaxdet.evaluation import predict

  if not arguments:
    raise ValueError('predict needs images: files, folders, or text files with a path a line')
  paths = list_images(arguments)
  variables, metadata = load_for_inference(CHECKPOINT.value or WORKDIR.value)
  config = CONFIG.value or metadata.config
  detector = build_detector(config.model, len(metadata.categories))
  output = OUTPUT.value or os.path.join(WORKDIR.value, 'predictions')
  file = predict(config, detector, variables, metadata.categories, image_batches(paths, config), paths, output)
  logging.info('predictions of %d images: %s', len(paths), file)


COMMANDS = {'train': train, 'eval': evaluate_checkpoint, 'predict': predict_images}

if __name__ == '__main__':
  command_line.run(main)
