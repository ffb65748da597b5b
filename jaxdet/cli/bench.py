"""`bench`: measures time and memory."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchFlags(flags.Flags):
  config: ConfigDict | None = flags.config('config to measure; default: write --docs from --json', None)
  dtype: tuple[str, ...] = flags.texts("of activations: float32, bfloat16 or both; default: the config's", 'TYPES')
  tasks: tuple[str, ...] = flags.texts('programs to measure: train, predict or both', 'TASKS', ('train', 'predict'))
  stages: bool = flags.switch('measure every step of the programs too')
  batch_size: int = flags.number('images per batch', 2)
  canvas: str | None = flags.text("of the images, in pixels; default: the config's first", 'HEIGHTxWIDTH', None)
  objects: int | None = flags.number('per image; default: 13, as in LVIS', None)
  repeats: int = flags.number('least number of timed calls of every program', 5)
  vs: str | None = flags.text('program to compare with', 'torchvision', None, choices=('torchvision',))
  modes: tuple[str, ...] = flags.texts(
    'modes of torch; + combines several', 'MODES', ('eager', 'channels_last', 'amp', 'compile')
  )
  torch_python: str | None = flags.text('interpreter with torchvision; default: this one', 'FILE', None)
  torchvision_model: str | None = flags.text("its model; default: the config's counterpart", 'NAME', None)
  json: str | None = flags.text('file to append a line per measurement to', 'FILE', None)
  docs: str | None = flags.text('page to write the tables of --json into, between two markers', 'FILE', None)
  words: tuple[str, ...] = flags.words()


def run(given: BenchFlags) -> None:
  # Nothing here uses a device: a measured process may need it exclusively.
  from jaxdet.cli.jobs.measuring import bench

  bench(given)
