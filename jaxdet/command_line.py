"""Between the shell and `main`: flags and mistakes in them, errors of one line, the log."""

import difflib
import logging as python_logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from jaxdet import configuration

DEBUG = flags.DEFINE_bool('debug', bool(os.environ.get('JAXDET_DEBUG')), 'Show the traceback of every error.')

PACKAGES = tuple(str(pathlib.Path(__file__).parents[1] / name) + os.sep for name in ('jaxdet', 'input_pipeline'))
BAD_INPUT = 2  # exit status


def run(main: Callable[[Sequence[str]], None]) -> None:
  """Parses the flags and calls `main` with the program's name and what is no flag.

  An error of the user's (a flag, a config, a file, data that makes no sense) ends the process with one line
  and status 2; `--debug` or JAXDET_DEBUG=1 shows where it was raised.
  """

  def guarded(argv):
    set_up_log()
    try:
      main(argv)
    except KeyboardInterrupt:
      _stop('interrupted', 130)
    except (OSError, ValueError, FloatingPointError) as error:
      if DEBUG.value or not is_users(error):
        raise
      _stop(f'error: {error}')

  app.run(guarded, flags_parser=parse_flags)


def parse_flags(argv: Sequence[str]) -> Sequence[str]:
  """What is left of `argv` without flags; ends the process with one line where they are wrong."""
  path = config_path(argv)
  configuration.let_configs_import(path)
  if path and not os.path.isfile(path.partition(':')[0]):
    _stop(f'error: there is no config file {path.partition(":")[0]}')
  try:
    return flags.FLAGS(argv)
  except (flags.Error, AttributeError, KeyError, TypeError) as error:
    if '--debug' in argv:
      raise
    # ml_collections puts a traceback into the message; its last line is what was raised.
    text = str(error).strip().splitlines()[-1].removeprefix('ValueError: ')
    _stop(f'error: {unknown_keys(argv) or text}')


def unknown_keys(argv: Sequence[str]) -> str:
  """A sentence on the overrides `--config.KEY` that the config does not have, '' if there are none."""
  names = [arg.lstrip('-').partition('=')[0] for arg in argv if arg.startswith('-')]
  keys = [name.removeprefix('config.').removeprefix('noconfig.') for name in names if 'config.' in name]
  if not keys:
    return ''
  if not config_path(argv):
    return f"'--config.{keys[0]}' changes a value of a config, and there is none: give --config FILE before it"
  known = list(configuration.keys(configuration.load_config(config_path(argv)).to_dict()))
  for key in keys:
    if key not in known:
      close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
      return f"unknown config key '{key}'; the nearest is '{close[0]}'"
  return ''


def config_path(argv: Sequence[str]) -> str:
  """The value of `--config` as it was written, '' without one."""
  for arg, following in zip(argv, [*argv[1:], ''], strict=True):
    name, equals, value = arg.lstrip('-').partition('=')
    if arg.startswith('-') and name == 'config':
      return value if equals else following
  return ''


def is_users(error: Exception) -> bool:
  """Whether an error speaks of what the user gave: a file that cannot be read, or a check of this project's."""
  if isinstance(error, OSError):
    return True
  return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGES)


def set_up_log() -> None:
  """Time and text on standard error, from INFO on; of libraries only warnings."""
  handler = logging.get_absl_handler()
  handler.setFormatter(python_logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S'))
  handler.addFilter(
    lambda record: (
      (record.name == 'absl' and 'orbax' not in record.pathname) or record.levelno >= python_logging.WARNING
    )
  )
  logging.set_verbosity(logging.INFO)
  logging.use_absl_handler()


def _stop(message: str, status: int = BAD_INPUT) -> None:
  print(' '.join(message.split()), file=sys.stderr)
  sys.exit(status)
