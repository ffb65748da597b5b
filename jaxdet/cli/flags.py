"""Flags of a command as fields of a frozen dataclass, with their form on the command line as metadata."""

import dataclasses
import os
from typing import Any

REQUIRED = dataclasses.MISSING
SPEC = 'spec'  # key of a field's metadata


@dataclasses.dataclass(frozen=True)
class Spec:
  """Form of a field on the command line."""

  # 'text', 'number', 'switch', 'list' (texts separated by commas), 'repeated' (one text each time), 'config',
  # 'arguments' (words that are not flags) or 'words' (all words as given).
  kind: str
  help: str
  value: str = ''  # name of its value, such as DIR
  choices: tuple[str, ...] = ()
  at_least: int | None = None  # least number, or least number of arguments
  at_most: int | None = None  # largest number of arguments


@dataclasses.dataclass(frozen=True)
class Written:
  """A field of a dataclass of flags."""

  field: str
  flag: str  # without dashes
  default: Any
  spec: Spec

  @property
  def required(self) -> bool:
    return self.default is REQUIRED


def text(help: str, value: str, default: str | None = REQUIRED, choices: tuple[str, ...] = ()) -> Any:
  """Field of --flag TEXT."""
  return _field(Spec('text', help, value, choices), default)


def number(help: str, default: int | None = REQUIRED, at_least: int = 1) -> Any:
  """Field of --flag N."""
  return _field(Spec('number', help, 'N', at_least=at_least), default)


def switch(help: str, default: bool | None = False) -> Any:
  """Field of --flag or --noflag."""
  return _field(Spec('switch', help), default)


def texts(help: str, value: str, default: tuple[str, ...] = ()) -> Any:
  """Field of --flag A,B."""
  return _field(Spec('list', help, value), default)


def repeated(help: str, value: str) -> Any:
  """Field of --flag A --flag B."""
  return _field(Spec('repeated', help, value), ())


def config(help: str, default: None = REQUIRED) -> Any:
  """Field of --config FILE[:VARIANT], with changes of its values by --config.KEY=VALUE."""
  return _field(Spec('config', help, 'FILE[:VARIANT]'), default)


def arguments(help: str, value: str, at_least: int = 0, at_most: int | None = None) -> Any:
  """Field of the words that are not flags."""
  return _field(Spec('arguments', help, value, at_least=at_least, at_most=at_most), ())


def words() -> Any:
  """Field of all words after the program's name, as given."""
  return _field(Spec('words', ''), ())


def written(flags: type) -> list[Written]:
  """Lists the fields of a dataclass of flags, in order; fields of its bases come last."""
  inherited = {field.name for base in flags.__bases__ for field in dataclasses.fields(base)}
  ordered = sorted(dataclasses.fields(flags), key=lambda field: field.name in inherited)
  return [
    # If a flag is a keyword of Python, its field ends in an underscore.
    Written(field.name, field.name.rstrip('_'), field.default, field.metadata[SPEC])
    for field in ordered
  ]


def _field(spec: Spec, default: Any) -> Any:
  return dataclasses.field(default=default, metadata={SPEC: spec})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
  """Flags of every command."""

  debug: bool = switch('show the traceback of every error (or JAXDET_DEBUG=1)', bool(os.environ.get('JAXDET_DEBUG')))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceFlags(Flags):
  """Flags of commands that may run as one of several processes."""

  multihost: bool | None = switch('connect to other processes; default: if the environment describes several', None)
