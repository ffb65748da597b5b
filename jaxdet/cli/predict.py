"""`predict`: applies a checkpoint to images."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.session import begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictFlags(flags.DeviceFlags):
  images: tuple[str, ...] = flags.arguments(
    'images: files, folders, or text files with a path a line', 'IMAGE|FOLDER|LIST.txt ..', at_least=1
  )
  workdir: str = flags.text('folder of the run', 'DIR')
  checkpoint: str | None = flags.text("checkpoint to read; default: the workdir's last", 'PATH', None)
  config: ConfigDict | None = flags.config("another config; default: the checkpoint's own", None)
  output: str | None = flags.text('folder for the results; default: WORKDIR/predictions', 'DIR', None)


def run(given: PredictFlags) -> None:
  begin(given.config, given.multihost)
  from jaxdet.cli.jobs.inference import predict_images

  predict_images(given.config, given.workdir, given.images, given.output, given.checkpoint)
