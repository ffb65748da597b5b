"""`bench`: measures time and memory."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchFlags(flags.Flags):
  config: ConfigDict | None = flags.config('what is measured; not given: --docs is written from --json', None)
  dtype: tuple[str, ...] = flags.texts("of activations: float32, bfloat16 or both; not given: the config's", 'TYPES')
  tasks: tuple[str, ...] = flags.texts('what is measured: train, predict or both', 'TASKS', ('train', 'predict'))
  stages: bool = flags.switch('take the programs apart as well, step by step')
  batch_size: int = flags.number('images of a batch', 2)
  canvas: str | None = flags.text("of the images, in pixels; not given: the config's first", 'HEIGHTxWIDTH', None)
  objects: int | None = flags.number('of every image; not given: 13, as in LVIS', None)
  repeats: int = flags.number('timed calls of every program, at least', 5)
  vs: str | None = flags.text('whose detector is measured beside it', 'torchvision', None, choices=('torchvision',))
  modes: tuple[str, ...] = flags.texts(
    'of torch; + joins several', 'MODES', ('eager', 'channels_last', 'amp', 'compile')
  )
  torch_python: str | None = flags.text('interpreter that has torchvision; not given: this one', 'FILE', None)
  torchvision_model: str | None = flags.text("its model; not given: that of the config's detector", 'NAME', None)
  json: str | None = flags.text('add a line for every measurement', 'FILE', None)
  docs: str | None = flags.text('page whose tables, between two markers, are written from --json', 'FILE', None)
  words: tuple[str, ...] = flags.words()


def run(given: BenchFlags) -> None:
  # Nothing here touches a device, which a process that is measured may want for itself.
  from jaxdet.cli.jobs.measuring import bench

  bench(given)
