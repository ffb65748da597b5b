"""Trains, evaluates and applies detectors; imports and exports weights of other programs.

  python -m jaxdet.main --config configs/lvis_maskrcnn.py:mini --workdir runs/mini [--config.train.steps=500 ..]
  python -m jaxdet.main eval --workdir runs/mini
  python -m jaxdet.main predict --workdir runs/mini IMAGE|FOLDER|LIST.txt .. --output runs/mini/predictions
  python -m jaxdet.main import --from detectron2 FILE --config configs/detectron2/mask_rcnn.py --workdir runs/x
  python -m jaxdet.main export --to mmdet --workdir runs/x --output weights.pth
  python -m jaxdet.main counts --config configs/lvis_maskrcnn.py --output counts
  python -m jaxdet.main zoo ['*retinanet*' ..] [--flops] [--output models.md]
  python -m jaxdet.main bench --config configs/lvis_maskrcnn.py --dtype float32,bfloat16 --vs torchvision --stages

After installation `jaxdet` is the same command. `--help` shows the commands, and after a command its flags.
"""

import sys
from collections.abc import Sequence

from jaxdet.cli import command_line
from jaxdet.cli.commands import COMMANDS, DEFAULT


def main(words: Sequence[str] | None = None) -> None:
  """Runs the command of the given words; None: the process's arguments."""
  command_line.run(sys.argv[1:] if words is None else words, COMMANDS, DEFAULT)


if __name__ == '__main__':
  main()
