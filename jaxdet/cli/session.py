"""Prepares a process for commands that use devices."""

from ml_collections import ConfigDict

from jaxdet import compilation
from jaxdet.training.processes import initialize_processes


def begin(config: ConfigDict | None, multihost: bool | None) -> None:
  """Sets the compilation cache, logs compilations, and connects to the other processes of the job."""
  compilation.use_cache(config and config.get('compilation_cache'))
  compilation.log_compilations()
  initialize_processes(multihost)
