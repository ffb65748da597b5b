"""Runs `python -m jaxdet.main bench`, with the same flags.

python scripts/bench.py --config configs/lvis_maskrcnn.py --dtype float32,bfloat16 --vs torchvision --stages
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from jaxdet.main import main  # noqa: E402

if __name__ == '__main__':
  main(['bench', *sys.argv[1:]])
