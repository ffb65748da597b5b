"""Pages of `--help`: the commands, and each command's flags."""

from collections.abc import Mapping

from jaxdet.cli.command import Command
from jaxdet.cli.flags import Written, written


def overview(commands: Mapping[str, Command], default: str) -> str:
  """Lists the commands; `default` runs if none is named."""
  width = max(map(len, commands))
  return '\n'.join(
    [
      'Trains, evaluates and applies detectors; imports and exports weights of other programs.',
      '',
      'jaxdet COMMAND [flags]      the same as python -m jaxdet.main COMMAND [flags]',
      '',
      *(f'  {name:{width}}  {command.help}' for name, command in commands.items()),
      '',
      f'Without a command, {default}. `jaxdet COMMAND --help` has its flags; `jaxdet --version` the version.',
      '',
      *(f'  jaxdet {command.example}' for command in commands.values()),
    ]
  )


def page(name: str, command: Command) -> str:
  """Lists the flags of a command, and an example."""
  fields = [field for field in written(command.flags) if field.spec.kind != 'words']
  rows = [row for field in fields for row in _rows(field)]
  width = max(len(left) for left, _ in rows)
  arguments = [field.spec.value for field in fields if field.spec.kind == 'arguments']
  return '\n'.join(
    [
      ' '.join(['jaxdet', name, *arguments, '[flags]']),
      '',
      f'{command.help[0].upper()}{command.help[1:]}.',
      '',
      *(f'  {left:{width}}  {right}' for left, right in rows),
      '',
      'Example:',
      f'  jaxdet {command.example}',
    ]
  )


def _rows(field: Written) -> list[tuple[str, str]]:
  """Rows (form of a field, its help), with further rows for some kinds."""
  spec = field.spec
  if spec.kind == 'arguments':
    return [(spec.value, spec.help)]
  left = f'--[no]{field.flag}' if spec.kind == 'switch' else f'--{field.flag} {spec.value}'
  rows = [(left, spec.help + _default(field))]
  if len(spec.choices) > 1:
    rows.append(('', f'one of {", ".join(spec.choices)}'))
  if spec.kind == 'config':
    rows.append(('--config.KEY=VALUE', 'changes a value, such as --config.train.batch_size=8'))
  return rows


def _default(field: Written) -> str:
  if field.required:
    return ' (required)'
  if field.default is None or field.default in (False, ()):
    return ''
  return f' ({",".join(field.default) if isinstance(field.default, tuple) else field.default})'
