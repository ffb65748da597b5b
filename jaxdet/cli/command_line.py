"""Runs commands from the shell: help pages, one-line errors, exit codes."""

import contextlib
import faulthandler
import io
import os
import pathlib
import sys
import traceback
from collections.abc import Mapping, Sequence

import jaxdet
from jaxdet.cli import help as help_pages
from jaxdet.cli.command import Command
from jaxdet.cli.log import set_up_log
from jaxdet.cli.parsing import UsageError, named_command, parse

HELP = ('--help', '-help', '-h', '--helpshort', '--helpfull')
PACKAGES = tuple(str(pathlib.Path(jaxdet.__file__).parents[1] / name) + os.sep for name in ('jaxdet', 'input_pipeline'))
BAD_INPUT = 2  # exit code


def run(words: Sequence[str], commands: Mapping[str, Command], default: str) -> None:
  """Runs the command given by the words after the program's name.

  A user error (wrong flag, config, file or data) ends the process with one line and exit code 2; `--debug` or
  JAXDET_DEBUG=1 shows its traceback.
  """
  if '--version' in words:
    print(f'jaxdet {jaxdet.__version__}')
    return
  debug = '--debug' in words or bool(os.environ.get('JAXDET_DEBUG'))
  try:
    if any(word in HELP for word in words):
      print(_help(words, commands, default))
      return
    command, flags = parse(words, commands, default)
    debug = flags.debug
    set_up_log()
    with contextlib.suppress(io.UnsupportedOperation):  # standard error is not a file, as in a notebook
      faulthandler.enable()
    command.run(flags)
  except KeyboardInterrupt:
    _stop('interrupted', 130)
  except (OSError, ValueError, FloatingPointError) as error:
    if debug or not is_users(error):
      raise
    _stop(f'error: {error}')


def is_users(error: Exception) -> bool:
  """True for user errors: a file that cannot be read, or a failed check of this project."""
  if isinstance(error, OSError | UsageError):
    return True
  return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGES)


def _help(words: Sequence[str], commands: Mapping[str, Command], default: str) -> str:
  """Help page of the named command, or the overview; a misspelt command is an error."""
  name = named_command(words, commands)
  if name is None and not words[0].startswith('-'):
    parse(words[:1], commands, default)
  return help_pages.overview(commands, default) if name is None else help_pages.page(name, commands[name])


def _stop(message: str, status: int = BAD_INPUT) -> None:
  print(' '.join(message.split()), file=sys.stderr)
  sys.exit(status)
