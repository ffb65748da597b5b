"""`import`: takes in weights of other programs."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.session import begin

PROGRAMS = ('detectron2', 'mmdet', 'torchvision', 'cvpods', 'timm', 'jaxdet')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportFlags(flags.DeviceFlags):
  file: tuple[str, ...] = flags.arguments('the file of weights', 'FILE', at_least=1, at_most=1)
  from_: str = flags.text('the program that wrote the file', 'PROGRAM', choices=PROGRAMS)
  workdir: str = flags.text('folder of the new run', 'DIR')
  config: ConfigDict | None = flags.config("config of the file's model; jaxdet's own files contain it", None)
  class_order: str | None = flags.text(
    'order of the classes: names, listed or ids; default: names, or else ids',
    'ORDER',
    None,
    choices=('names', 'listed', 'ids'),
  )
  allow: tuple[str, ...] = flags.repeated('names that may be missing or unused; may be given again', 'PATTERN')


def run(given: ImportFlags) -> None:
  begin(given.config, given.multihost)
  from jaxdet.cli.jobs.importing import import_checkpoint

  import_checkpoint(given.config, given.workdir, given.from_, given.file[0], given.allow, given.class_order)
