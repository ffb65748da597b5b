"""`zoo`: the models that have a config."""

import dataclasses

from jaxdet.cli import flags
from jaxdet.cli.session import begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZooFlags(flags.DeviceFlags):
  patterns: tuple[str, ...] = flags.arguments('of names or configs, with * and ?; none: all models', "'PATTERN' ..")
  flops: bool = flags.switch("count the models' operations too, which takes seconds per model")
  output: str | None = flags.text('page to write the table into', 'FILE.md', None)


def run(given: ZooFlags) -> None:
  begin(None, given.multihost)
  from jaxdet.zoo.printing import print_models

  print_models(given.patterns, given.output, given.flops)
