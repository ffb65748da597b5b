"""`counts`: how often each category occurs."""

import dataclasses

from ml_collections import ConfigDict

from jaxdet.cli import flags
from jaxdet.cli.session import begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class CountsFlags(flags.DeviceFlags):
  config: ConfigDict = flags.config('config of the training data to count')
  output: str | None = flags.text('folder for the counts as counts.csv and num_shots.json, .npy', 'DIR', None)


def run(given: CountsFlags) -> None:
  begin(given.config, given.multihost)
  from jaxdet.cli.jobs.counting import print_counts

  print_counts(given.config, given.output)
