"""Prints the table of models on the terminal and as a page, and measures them line by line."""

import contextlib
import json
import pathlib
import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxdet import configuration
from jaxdet.parity.records import read_records
from jaxdet.parity.verdicts import summary
from jaxdet.zoo import model_size, model_table
from jaxdet.zoo.lines import TABLE, Line, find_root, read_models, select


def print_models(patterns: Sequence[str] = (), output: str | None = None, flops: bool = False) -> None:
  """Prints a line for each model of configs/zoo.csv as soon as it is measured; equal models are measured once.

  Args:
    patterns: globs of the names or configs to show; none: all.
    output: a Markdown file for the table; None: no file.
    flops: count FLOPs too, which takes seconds per model.

  Raises:
    FileNotFoundError: there is no table, neither here nor beside the package.
    ValueError: a pattern matches nothing, or a line has no valid config; the message says which.
  """
  if output and not output.endswith('.md'):
    raise ValueError(f"--output is '{output}': the table is written as Markdown, give FILE.md")
  root = find_root()
  lines = select(read_models(root), patterns)
  published = model_table.read_published(root / 'configs' / 'published.csv')
  records, _ = read_records(root / 'docs' / 'parity.json')

  parity = {name: summary(records, line.upstream, line.config) for name, line in lines.items()}
  widths = max(map(len, lines)), max(map(len, ['parity', *parity.values()]))
  print(model_table.heading(widths), flush=True)
  rows, sizes = [], {}
  for name, line in lines.items():
    with _blaming(root, line):
      config = configuration.load_config(str(root / line.config))
      key = _key(config)
    if key not in sizes:
      sizes[key] = model_size.measure(config, flops)
    program, _, upstream = name.partition('/')
    row = model_table.Row(
      program=program,
      upstream=upstream,
      config=line.config,
      size=sizes[key],
      canvas=tuple(configuration.detection_canvases(config.data)[0]),
      published=published.get((program, upstream), model_table.Published()),
      parity=parity[name],
    )
    print(model_table.line(row, widths), flush=True)
    rows.append(row)

  if output:
    arguments = [*patterns, *(['--flops'] if flops else []), '--output', output]
    made_with = f'jax {version("jax")}, for {jax.default_backend()}'
    text = model_table.page(rows, f'python -m jaxdet.main zoo {shlex.join(arguments)}', made_with)
    pathlib.Path(output).write_text(text)
    logging.info('wrote %d models into %s', len(rows), output)


def _key(config: ConfigDict) -> str:
  """Equal for models of the same size."""
  of_size = [config.model.to_dict(), model_size.num_classes(config), configuration.detection_canvases(config.data)[0]]
  return json.dumps(of_size, sort_keys=True)


@contextlib.contextmanager
def _blaming(root: pathlib.Path, line: Line) -> Iterator[None]:
  """Adds the line of the table to ValueErrors."""
  try:
    yield
  except (ValueError, OSError) as error:
    raise ValueError(f'{root / TABLE}:{line.number}: {line.config}: {error}') from error
