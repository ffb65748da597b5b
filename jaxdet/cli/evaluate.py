"""`eval`: measures the accuracy of a checkpoint."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.session import begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalFlags(flags.DeviceFlags):
  workdir: str = flags.text('folder of the run; results go there', 'DIR')
  checkpoint: str | None = flags.text("checkpoint to read; default: the workdir's last", 'PATH', None)
  config: ConfigDict | None = flags.config("another config; default: the checkpoint's own", None)


def run(given: EvalFlags) -> None:
  begin(given.config, given.multihost)
  from jaxdet.cli.jobs.inference import evaluate_checkpoint

  evaluate_checkpoint(given.config, given.workdir, given.checkpoint)
