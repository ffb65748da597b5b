"""`train`: trains a detector."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.session import begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags(flags.DeviceFlags):
  config: ConfigDict = flags.config('what to train, on which data')
  workdir: str = flags.text('folder of the run; training resumes from its last checkpoint', 'DIR')


def run(given: TrainFlags) -> None:
  begin(given.config, given.multihost)
  from jaxdet.cli.jobs.training import train

  train(given.config, given.workdir)
