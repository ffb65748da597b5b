"""Flags of a command as fields of a frozen dataclass; each field knows how it is written on the command line."""

import dataclasses
import os
from typing import Any

REQUIRED = dataclasses.MISSING
SPEC = 'spec'  # where a field's metadata has it


@dataclasses.dataclass(frozen=True)
class Spec:
  """How a field is written."""

  # 'text', 'number', 'switch', 'list' (of texts between commas), 'repeated' (a text each time), 'config',
  # 'arguments' (words that are no flags) or 'words' (all words as they were written).
  kind: str
  help: str
  value: str = ''  # the name of its value, as DIR
  choices: tuple[str, ...] = ()
  at_least: int | None = None  # a number, or how many arguments
  at_most: int | None = None  # arguments


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
  """--flag TEXT."""
  return _field(Spec('text', help, value, choices), default)


def number(help: str, default: int | None = REQUIRED, at_least: int = 1) -> Any:
  """--flag N."""
  return _field(Spec('number', help, 'N', at_least=at_least), default)


def switch(help: str, default: bool | None = False) -> Any:
  """--flag or --noflag."""
  return _field(Spec('switch', help), default)


def texts(help: str, value: str, default: tuple[str, ...] = ()) -> Any:
  """--flag A,B."""
  return _field(Spec('list', help, value), default)


def repeated(help: str, value: str) -> Any:
  """--flag A --flag B."""
  return _field(Spec('repeated', help, value), ())


def config(help: str, default: None = REQUIRED) -> Any:
  """--config FILE[:VARIANT], with changes of its values by --config.KEY=VALUE."""
  return _field(Spec('config', help, 'FILE[:VARIANT]'), default)


def arguments(help: str, value: str, at_least: int = 0, at_most: int | None = None) -> Any:
  """Words that are no flags."""
  return _field(Spec('arguments', help, value, at_least=at_least, at_most=at_most), ())


def words() -> Any:
  """All words after the program's name, as they were written."""
  return _field(Spec('words', ''), ())


def written(flags: type) -> list[Written]:
  """The fields of a dataclass of flags, in order; those of its bases come last."""
  inherited = {field.name for base in flags.__bases__ for field in dataclasses.fields(base)}
  ordered = sorted(dataclasses.fields(flags), key=lambda field: field.name in inherited)
  return [
    # A flag may be a keyword of Python, whose field then ends in an underscore.
    Written(field.name, field.name.rstrip('_'), field.default, field.metadata[SPEC])
    for field in ordered
  ]


def _field(spec: Spec, default: Any) -> Any:
  return dataclasses.field(default=default, metadata={SPEC: spec})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
  """Those of every command."""

  debug: bool = switch('show the traceback of every error (or JAXDET_DEBUG=1)', bool(os.environ.get('JAXDET_DEBUG')))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceFlags(Flags):
  """Those of commands that may run as one process of several."""

  multihost: bool | None = switch('join other processes; not given: where the environment has such', None)
