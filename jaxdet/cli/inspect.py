"""`inspect`: problems and statistics of a data set."""

import dataclasses

from jaxdet.cli import flags


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectFlags(flags.Flags):
  data: str = flags.text('annotation file, splits of VOC (devkit/VOC2007/test), or folder of a data set', 'PATH')
  images: str | None = flags.text('folder of the images; default: beside or above the annotations', 'DIR', None)


def run(given: InspectFlags) -> None:
  from jaxdet.cli.jobs.inspecting import print_inspection

  print_inspection(given.data, given.images)
