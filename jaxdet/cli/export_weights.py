"""`export`: writes weights for other programs, or prediction as a program."""

import dataclasses

from jaxdet.cli import flags
from jaxdet.cli.session import begin

PROGRAMS = ('detectron2', 'mmdet', 'torchvision', 'cvpods', 'safetensors', 'stablehlo')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportFlags(flags.DeviceFlags):
  to: str = flags.text('the program that will read the file', 'PROGRAM', choices=PROGRAMS)
  workdir: str = flags.text('folder of the run', 'DIR')
  output: str = flags.text('file to write; its suffix chooses the format', 'FILE')
  checkpoint: str | None = flags.text("checkpoint to read; default: the workdir's last", 'PATH', None)
  batch_size: int = flags.number('images per call of the program, for --to stablehlo', 1)
  canvas: str | None = flags.text("of its images, in pixels; default: the config's first", 'HEIGHTxWIDTH', None)


def run(given: ExportFlags) -> None:
  begin(None, given.multihost)
  from jaxdet.cli.jobs.exporting import export_checkpoint, export_program

  if given.to == 'stablehlo':
    export_program(given.workdir, given.output, given.batch_size, given.canvas, given.checkpoint)
  else:
    export_checkpoint(given.workdir, given.to, given.output, given.checkpoint)
