"""Trains, evaluates and applies a detector; takes weights of other programs in and out.

  python -m jaxdet.main --config configs/lvis_maskrcnn.py:mini --workdir runs/mini [--config.train.steps=500 ..]
  python -m jaxdet.main eval --workdir runs/mini
  python -m jaxdet.main predict --workdir runs/mini IMAGE|FOLDER|LIST.txt .. --output runs/mini/predictions
  python -m jaxdet.main import --from detectron2 FILE --config configs/lvis_maskrcnn.py --workdir runs/x
  python -m jaxdet.main export --to mmdet --workdir runs/x --output weights.pth
  python -m jaxdet.main counts --config configs/lvis_maskrcnn.py --output counts
  python -m jaxdet.main zoo ['*retinanet*' ..] [--flops] [--output models.md]
  python -m jaxdet.main bench --config configs/lvis_maskrcnn.py --dtype float32,bfloat16 --vs torchvision --stages

`train`, the default, goes on from the last checkpoint in the workdir, and evaluates at the end. `eval`, `predict`
and `export` take the config of the checkpoint; `eval` and `predict` another one where --config is given. `counts`
prints the training images and objects of each category, and writes them into a folder where one is given. `zoo`
prints the models of configs/zoo.csv whose name or config matches a pattern: parameters, published AP, parity. `bench`
measures time and memory of training steps and predictions, on synthetic images.
"""

from absl import flags
from ml_collections import config_flags

from jaxdet import bench_command, command_line, compilation
from jaxdet.training import processes

COMMANDS = ('train', 'eval', 'predict', 'import', 'export', 'counts', 'zoo', 'bench')
IMPORTS = ('detectron2', 'mmdet', 'torchvision', 'cvpods', 'timm', 'jaxdet')
EXPORTS = ('detectron2', 'mmdet', 'torchvision', 'cvpods', 'safetensors', 'stablehlo')

CONFIG = config_flags.DEFINE_config_file('config', None, 'FILE[:VARIANT], as configs/lvis_maskrcnn.py:mini.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run.')
CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'To read; the last one of the workdir if not given.')
OUTPUT = flags.DEFINE_string(
  'output',
  None,
  "Folder for predict's results, WORKDIR/predictions if not given, or for the counts; file that export or zoo writes.",
)
MULTIHOST = flags.DEFINE_bool('multihost', None, 'Join other processes; if not given, where the environment has such.')
FROM = flags.DEFINE_enum('from', None, IMPORTS, "Whose names import's file has.")
ALLOW = flags.DEFINE_multi_string('allow', [], "Pattern of names that may be missing in import's file, or unused.")
TO = flags.DEFINE_enum('to', None, EXPORTS, 'Who is to read what export writes.')
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, 'Images of the program of export --to stablehlo (1 if not given), or of bench (2).', lower_bound=1
)
FLOPS = flags.DEFINE_bool('flops', False, "Count the models' FLOPs for zoo, which takes seconds a model.")
CANVAS = flags.DEFINE_string('canvas', None, "Its images' HEIGHTxWIDTH; the config's first canvas if not given.")


def main(argv: list[str]) -> None:
  command, *files = argv[1:] or ['train']
  if command not in COMMANDS:
    raise ValueError(f"unknown command '{command}': choose {', '.join(COMMANDS)}")
  if not WORKDIR.value and command not in ('counts', 'zoo', 'bench'):
    raise ValueError('give --workdir, the folder of the run')
  if files and command not in ('predict', 'import', 'zoo'):
    raise ValueError(f"{command} takes flags only, not '{files[0]}'")
  if command in ('train', 'counts') and CONFIG.value is None:
    raise ValueError(f'{command} needs a config: --config configs/lvis_maskrcnn.py:mini')
  if command == 'import' and not FROM.value:
    raise ValueError(f'import needs the program that wrote the file: --from {"|".join(IMPORTS)}')
  if command == 'export' and not TO.value:
    raise ValueError(f'export needs the program that is to read the file: --to {"|".join(EXPORTS)}')
  if command == 'bench':
    bench_command.bench(CONFIG.value, BATCH_SIZE.value, CANVAS.value)
    return
  compilation.use_cache(CONFIG.value and CONFIG.value.get('compilation_cache'))
  compilation.log_compilations()
  processes.initialize_processes(MULTIHOST.value)

  # After the processes have joined: imports may touch devices.
  from jaxdet import commands, conversion_commands, data_commands
  from jaxdet.zoo.printing import print_models

  if command == 'train':
    commands.train(CONFIG.value, WORKDIR.value)
  elif command == 'eval':
    commands.evaluate_checkpoint(CONFIG.value, WORKDIR.value, CHECKPOINT.value)
  elif command == 'predict':
    commands.predict_images(CONFIG.value, WORKDIR.value, files, OUTPUT.value, CHECKPOINT.value)
  elif command == 'counts':
    data_commands.print_counts(CONFIG.value, OUTPUT.value)
  elif command == 'zoo':
    print_models(files, OUTPUT.value, FLOPS.value)
  elif command == 'import':
    conversion_commands.import_checkpoint(CONFIG.value, WORKDIR.value, FROM.value, files, ALLOW.value)
  elif TO.value == 'stablehlo':
    conversion_commands.export_program(
      WORKDIR.value, OUTPUT.value, BATCH_SIZE.value or 1, CANVAS.value, CHECKPOINT.value
    )
  else:
    conversion_commands.export_checkpoint(WORKDIR.value, TO.value, OUTPUT.value, CHECKPOINT.value)


if __name__ == '__main__':
  command_line.run(main)
