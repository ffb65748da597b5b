"""What commands that use devices do first."""

from ml_collections import ConfigDict

from jaxdet import compilation
from jaxdet.training.processes import initialize_processes


def begin(config: ConfigDict | None, multihost: bool | None) -> None:
  """Chooses the folder of compiled programs, logs what is compiled, and joins the other processes of the job."""
  compilation.use_cache(config and config.get('compilation_cache'))
  compilation.log_compilations()
  initialize_processes(multihost)
