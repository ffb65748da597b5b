"""Parses the words of a command line to a command and its flags."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags as absl_flags
from ml_collections import ConfigDict

from jaxdet import config_ranges, configuration
from jaxdet.cli.command import Command
from jaxdet.cli.flags import Written, written
from jaxdet.parts import nearest

DEFINE = {
  'text': absl_flags.DEFINE_string,
  'number': absl_flags.DEFINE_integer,
  'switch': absl_flags.DEFINE_bool,
  'list': absl_flags.DEFINE_list,
  'repeated': absl_flags.DEFINE_multi_string,
}


class UsageError(ValueError):
  """An invalid command line; its text is one line for the user."""


def parse(words: Sequence[str], commands: Mapping[str, Command], default: str) -> tuple[Command, Any]:
  """Parses a command line to the command and its dataclass of flags.

  Args:
    words: after the program's name, in absl's forms: --flag=value, --flag value, --noflag, --flagfile=FILE.
    commands: by name.
    default: the command if none is named.

  Raises:
    UsageError: a word or flag is unknown, missing, or another command's; settings of the config are out of range.
  """
  words = absl_flags.FLAGS.read_flags_from_files(list(words), force_gnu=True)
  if words and not words[0].startswith('-') and words[0] not in commands:
    raise _unknown_command(words[0], commands)  # before the flags, which may be those of the command that was meant
  named = named_command(words, commands)
  path, rest = split_config(words)
  config = _load_config(path) if path else None
  values = _define_flags(commands)
  try:
    if config is not None:
      configuration.define_overrides(config, rest, values)
    elif keys := configuration.overridden_keys(rest):
      raise UsageError(f"'--config.{keys[0]}' changes a value of a config, and there is none: give --config FILE")
    arguments = values(['jaxdet', *rest])[1:]
    if config is not None:
      config_ranges.check(config)
  except absl_flags.UnrecognizedFlagError as error:
    raise _unknown_flag(named or default, commands[named or default], error.flagname) from error
  except (absl_flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    raise UsageError(str(error)) from error
  absl_flags.FLAGS.mark_as_parsed()

  name, *arguments = arguments or [default]
  if name not in commands:
    raise _unknown_command(name, commands)
  command = commands[name]
  known = {field.flag for field in written(command.flags)}
  own = {field.flag for other in commands.values() for field in written(other.flags)} & set(values)
  if config is not None and 'config' not in known:
    raise _unknown_flag(name, command, 'config')
  for flag in sorted(own - known):
    if values[flag].present:
      raise _unknown_flag(name, command, flag)
  return command, command.flags(**_given(name, command, values, config, arguments, tuple(words)))


def named_command(words: Sequence[str], commands: Mapping[str, Command]) -> str | None:
  """The first word that names a command; None if there is none."""
  return next((word for word in words if word in commands), None)


def split_config(words: Sequence[str]) -> tuple[str, list[str]]:
  """Splits words into the value of --config as given ('' without one) and the other words."""
  path, rest, following = '', [], iter(words)
  for word in following:
    if re.fullmatch('--?config', word):
      path = next(following, '')
      if not path:
        raise UsageError('--config has no value: give FILE[:VARIANT], as configs/lvis_maskrcnn.py:mini')
    elif match := re.match('--?config=', word):
      path = word[match.end() :]
    else:
      rest.append(word)
  return path, rest


def _load_config(path: str) -> ConfigDict:
  try:
    return configuration.load_config(path)
  except (OSError, ValueError) as error:
    raise UsageError(str(error)) from error
  except (AttributeError, KeyError, TypeError) as error:
    raise UsageError(f'{path} is no config: {type(error).__name__}: {error}') from error


def _define_flags(commands: Mapping[str, Command]) -> absl_flags.FlagValues:
  """Defines the flags of all commands, without defaults, and those of absl's log."""
  values = absl_flags.FlagValues()
  for command in commands.values():
    for field in written(command.flags):
      if field.spec.kind in DEFINE and field.flag not in values:
        bound = {'lower_bound': field.spec.at_least} if field.spec.kind == 'number' else {}
        DEFINE[field.spec.kind](field.flag, None, field.spec.help, flag_values=values, **bound)
  for name in absl_flags.FLAGS:
    flag = absl_flags.FLAGS[name]
    if name == flag.name and name not in values:  # absl also lists a flag by its short name
      values[name] = flag
  return values


def _unknown_command(name: str, commands: Mapping[str, Command]) -> UsageError:
  return UsageError(f"unknown command '{name}'; the nearest is '{nearest(name, commands)}', of {', '.join(commands)}")


def _unknown_flag(name: str, command: Command, flag: str) -> UsageError:
  known = [field.flag for field in written(command.flags) if field.spec.kind in (*DEFINE, 'config')]
  return UsageError(f"{name} has no flag '--{flag}'; the nearest is '--{nearest(flag, known)}'")


def _given(
  name: str,
  command: Command,
  values: absl_flags.FlagValues,
  config: ConfigDict | None,
  arguments: Sequence[str],
  words: tuple[str, ...],
) -> dict[str, Any]:
  """Values of the given fields; raises UsageError if one is missing or invalid."""
  fields = written(command.flags)
  found = {'words': words, 'config': config, 'arguments': tuple(arguments)}
  if arguments and not any(field.spec.kind == 'arguments' for field in fields):
    raise UsageError(f"{name} takes flags only, not '{arguments[0]}'")
  given = {}
  for field in fields:
    value = found[field.spec.kind] if field.spec.kind in found else _value(values, field)
    if value is not None:
      given[field.field] = value
    elif field.required:
      raise UsageError(
        f'{name} needs --{field.flag} {field.spec.value}, {field.spec.help}'
        f'{": one of " + ", ".join(field.spec.choices) if field.spec.choices else ""}; as jaxdet {command.example}'
      )
    _check(name, field, value)
  return given


def _value(values: absl_flags.FlagValues, field: Written) -> Any:
  """Value of a flag; None if it was not given."""
  flag = values[field.flag]
  if not flag.present:
    return None
  return tuple(flag.value) if isinstance(flag.value, list) else flag.value


def _check(name: str, field: Written, value: Any) -> None:
  spec = field.spec
  if spec.kind == 'arguments':
    if len(value) < spec.at_least:
      raise UsageError(f'{name} needs {spec.value}, {spec.help}')
    if spec.at_most is not None and len(value) > spec.at_most:
      raise UsageError(f"{name} takes one {spec.value}, and '{value[spec.at_most]}' is one more")
  elif spec.choices and value is not None and value not in spec.choices:
    raise UsageError(
      f"unknown --{field.flag} '{value}'; the nearest is '{nearest(value, spec.choices)}', of {', '.join(spec.choices)}"
    )
