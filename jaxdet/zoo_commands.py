"""What the command line does with the table of models: prints it, or writes it as a page."""

import contextlib
import difflib
import fnmatch
import json
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxdet import configuration
from jaxdet.parity import verdicts
from jaxdet.zoo import model_size, model_table
from jaxdet.zoo.lines import Line, read_lines

TABLE = pathlib.Path('configs', 'zoo.csv')
CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def print_models(patterns: Sequence[str] = (), output: str | None = None, flops: bool = False) -> None:
  """Prints a line for each model of configs/zoo.csv as soon as it is counted; equal models are counted once.

  Args:
    patterns: globs of the names or configs that are shown; none: all.
    output: a Markdown file for the table; None: nothing is written.
    flops: count them too, which takes seconds a model.

  Raises:
    FileNotFoundError: there is no such table, neither here nor beside the package.
    ValueError: a pattern matches nothing, or a line makes no config; says which.
  """
  if output and not output.endswith('.md'):
    raise ValueError(f"--output is '{output}': the table is written as Markdown, give FILE.md")
  root = find_root()
  lines = select(read_models(root), patterns)
  published = model_table.read_published(root / 'configs' / 'published.csv')
  page = root / 'docs' / 'parity.md'
  recorded = verdicts.read_page(page) if page.exists() else []

  parity = {name: verdicts.summary(recorded, line.upstream, line.config) for name, line in lines.items()}
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
      canvas=tuple(config.data.canvases[0]),
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


def find_root() -> pathlib.Path:
  """The folder that has the table: this one, or that of the checkout.

  Raises:
    FileNotFoundError: neither has it.
  """
  places = (pathlib.Path.cwd(), CHECKOUT)
  for place in places:
    if (place / TABLE).is_file():
      return place
  raise FileNotFoundError(
    f'there is no {TABLE} in {" or in ".join(map(str, places))}: run zoo in a checkout of jaxdet, which has configs'
  )


def read_models(root: pathlib.Path) -> dict[str, Line]:
  """The table's lines by name, 'program/upstream config'; of lines with the same name the last one.

  Raises:
    ValueError: on a line without a config.
  """
  return {f'{line.program}/{line.upstream}': line for line in read_lines(root / TABLE)}


def select(models: Mapping[str, Line], patterns: Sequence[str]) -> dict[str, Line]:
  """The models whose name, upstream config or own config matches one of the globs, in order; all without globs.

  Raises:
    ValueError: a glob matches none; names the nearest.
  """
  texts = {name: (name, line.upstream, line.config) for name, line in models.items()}
  chosen = set()
  for pattern in patterns:
    found = {name for name in models if any(fnmatch.fnmatchcase(text, pattern) for text in texts[name])}
    if not found:
      known = dict.fromkeys(text for of_model in texts.values() for text in of_model)
      [nearest] = difflib.get_close_matches(pattern, known, n=1, cutoff=0.0)
      raise ValueError(
        f"no model of {TABLE} matches '{pattern}'; the nearest is '{nearest}'; *, ? and [..] stand for other text"
      )
    chosen |= found
  return {name: line for name, line in models.items() if not patterns or name in chosen}


def _key(config: ConfigDict) -> str:
  """Equal for models of the same size."""
  of_size = [config.model.to_dict(), model_size.num_classes(config), config.data.canvases[0]]
  return json.dumps(of_size, sort_keys=True)


@contextlib.contextmanager
def _blaming(root: pathlib.Path, line: Line) -> Iterator[None]:
  """Errors of the user's name the line of the table."""
  try:
    yield
  except (ValueError, OSError) as error:
    raise ValueError(f'{root / TABLE}:{line.number}: {line.config}: {error}') from error
