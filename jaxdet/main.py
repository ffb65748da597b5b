"""Trains, evaluates and applies a detector.

  python -m jaxdet.main --config configs/lvis_maskrcnn.py:mini --workdir runs/mini [--config.train.steps=500 ..]
  python -m jaxdet.main eval --workdir runs/mini
  python -m jaxdet.main predict --workdir runs/mini IMAGE|FOLDER|LIST.txt .. --output runs/mini/predictions

`train`, the default, goes on from the last checkpoint in the workdir, and evaluates at the end. `eval` and
`predict` take the config of the checkpoint unless --config is given.
"""

from absl import flags
from ml_collections import config_flags

from jaxdet import command_line
from jaxdet.training import parallel

CONFIG = config_flags.DEFINE_config_file('config', None, 'FILE[:VARIANT], as configs/lvis_maskrcnn.py:mini.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'For eval and predict; the last one of the workdir if not given.')
OUTPUT = flags.DEFINE_string('output', None, "Folder for predict's results; WORKDIR/predictions if not given.")
MULTIHOST = flags.DEFINE_bool('multihost', None, 'Join other processes; if not given, where the environment has such.')


def main(argv: list[str]) -> None:
  command, *images = argv[1:] or ['train']
  if command not in ('train', 'eval', 'predict'):
    raise ValueError(f"unknown command '{command}': choose train, eval, predict")
  if not WORKDIR.value:
    raise ValueError('give --workdir, the folder of the run')
  if images and command != 'predict':
    raise ValueError(f"{command} takes flags only, not '{images[0]}'")
  if command == 'train' and CONFIG.value is None:
    raise ValueError('train needs a config: --config configs/lvis_maskrcnn.py:mini')
  command_line.use_compilation_cache()
  parallel.initialize_processes(MULTIHOST.value)

  from jaxdet import commands  # after the processes have joined: what it imports may touch devices

  if command == 'train':
    commands.train(CONFIG.value, WORKDIR.value)
  elif command == 'eval':
    commands.evaluate_checkpoint(CONFIG.value, WORKDIR.value, CHECKPOINT.value)
  else:
    commands.predict_images(CONFIG.value, WORKDIR.value, images, OUTPUT.value, CHECKPOINT.value)


if __name__ == '__main__':
  command_line.run(main)
