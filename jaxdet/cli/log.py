"""Sets up the log on standard error."""

import logging as python_logging

from absl import logging


def set_up_log() -> None:
  """Logs time and text to standard error, from INFO up; for libraries only warnings."""
  handler = logging.get_absl_handler()
  handler.setFormatter(python_logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S'))
  handler.addFilter(
    lambda record: (
      (record.name == 'absl' and 'orbax' not in record.pathname) or record.levelno >= python_logging.WARNING
    )
  )
  logging.set_verbosity(logging.INFO)
  logging.use_absl_handler()
