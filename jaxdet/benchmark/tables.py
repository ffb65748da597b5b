"""Formats records as tables: programs side by side with their ratios, and the steps of one program."""

from collections.abc import Sequence

from jaxdet.benchmark.records import Record

Table = list[list[str]]  # the first row is the heading

TASKS = {'train': 'training step', 'predict': 'prediction'}


def group_key(record: Record) -> tuple:
  """Key that is equal for comparable records: the same work on the same machine."""
  return record['config'], record['images'], tuple(record['canvas']), str(record['machine'])


def title(record: Record) -> str:
  """Title of a group of records."""
  height, width = record['canvas']
  images = f'{record["images"]} images' if record['images'] > 1 else 'one image'
  return (
    f'{record["config"]}: {images} of {height} x {width}, {record["objects"]} objects each, {record["classes"]} classes'
  )


def program_tables(records: Sequence[Record]) -> dict[str, Table]:
  """Makes a table with one row per program for each measured task; `records` are of one group."""
  tables = {}
  for task, name in TASKS.items():
    of_task = [record for record in records if record['kind'] == 'program' and record['task'] == task]
    if of_task:
      tables[name] = _programs(of_task)
  return tables


def stage_tables(records: Sequence[Record]) -> dict[str, Table]:
  """Makes a table with one row per step for each program measured by stages; `records` are of one group."""
  return {
    f'{TASKS[record["task"]]}, {record["mode"]}, step by step': _stages(record)
    for record in records
    if record['kind'] == 'stages' and 'error' not in record
  }


def choices(records: Sequence[Record]) -> list[str]:
  """Lists the choices that make the programs do equal work; [] if there is only one program."""
  return list(dict.fromkeys(choice for record in records for choice in record.get('choices', [])))


def ratio(record: Record, other: Record) -> float:
  """Ratio of the times of `record` and `other`: below 1 `record` is faster."""
  return record['step_s'] / other['step_s']


def aligned(table: Table) -> str:
  """Formats a table for a terminal: first column left-aligned, the others right-aligned."""
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]

  def line(row: Sequence[str]) -> str:
    first, *others = (
      f'{cell:{"<" if i == 0 else ">"}{width}}' for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return '  '.join([first, *others]).rstrip()

  return '\n'.join(line(row) for row in table)


def markdown(table: Table) -> str:
  """Formats a table in Markdown."""
  heading, *rows = ('| ' + ' | '.join(row) + ' |' for row in table)
  return '\n'.join([heading, '|---' + '|---:' * (len(table[0]) - 1) + '|', *rows])


def _programs(records: Sequence[Record]) -> Table:
  done = [record for record in records if 'error' not in record]
  ours = [record for record in done if record['program'] == 'jaxdet']
  theirs = [record for record in done if record['program'] != 'jaxdet']
  heading = ['', 's (spread)', 'images/s', 'compile, s', 'TFLOP/s', 'of peak', 'peak GiB', 'compiler GiB']
  against = ours if theirs else []
  rows = [heading + [f'{record["program"]} {record["mode"]} / this' for record in against]]
  for record in records:
    name = f'{record["program"]} {record["mode"]}'
    if 'error' in record:
      rows.append([name, 'failed', *['-'] * (len(rows[0]) - 2)])
      continue
    ratios = [f'{ratio(own, record):.2f}' if record in theirs else '-' for own in against]
    rows.append([name, *_figures(record), *ratios])
  return rows


def _figures(record: Record) -> list[str]:
  """Cells of a record; '-' for missing values."""
  memory = record['memory_gib']
  device = memory.get('device')
  compilation = record['first_s'] if 'compile' in record['mode'].split('+') else record.get('compile_s')
  return [
    f'{record["step_s"]:.3g} ({record["spread_s"]:.2g})',
    f'{record["images_per_s"]:.3g}',
    '-' if compilation is None else f'{compilation:.1f}',
    _cell(record.get('flops_per_s'), lambda x: f'{x / 1e12:.3g}'),
    _cell(record.get('peak_share'), lambda x: f'{x:.1%}'),
    f'{memory["process"]:.2f} (process)' if device is None else f'{device:.2f}',
    _cell(memory.get('compiler'), lambda x: f'{x:.2f}'),
  ]


def _stages(record: Record) -> Table:
  """Makes the table of a record's steps: milliseconds and shares of the sum."""
  stages = [(stage['step'], stage['forward_s'], stage['backward_s']) for stage in record['stages']]
  if record['task'] == 'predict':
    total = sum(forward for _, forward, _ in stages)
    rows = [[name, _milliseconds(forward), f'{forward / total:.1%}'] for name, forward, _ in stages]
    whole = ['the whole, compiled as one', _milliseconds(record['forward_s']), '-']
    return [['', 'ms', 'share'], *rows, ['sum', _milliseconds(total), '100.0%'], whole]

  forward, backward = (sum(stage[i] or 0.0 for stage in stages) for i in (1, 2))
  optimizer = record['optimizer_s']
  total = forward + backward + optimizer

  def row(name: str, forward: float | None, backward: float | None, both: float, share: bool = True) -> list[str]:
    times = [_cell(seconds, _milliseconds) for seconds in (forward, backward, both)]
    return [name, *times, f'{both / total:.1%}' if share else '-']

  return [
    ['', 'forward, ms', 'backward, ms', 'both, ms', 'share'],
    *(row(name, forward, backward, forward + (backward or 0.0)) for name, forward, backward in stages),
    row('optimizer', None, None, optimizer),
    row('sum', forward, backward, total),
    row(
      'all but the optimizer, compiled as one',
      record['forward_s'],
      record['backward_s'],
      record['forward_s'] + record['backward_s'],
      share=False,
    ),
    row('the training step', None, None, record['step_s'], share=False),
  ]


def _milliseconds(seconds: float) -> str:
  return f'{1e3 * seconds:.1f}'


def _cell(value: float | None, text) -> str:
  return '-' if value is None else text(value)
