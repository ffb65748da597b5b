"""Compares jaxdet with recorded runs of the upstream programs, weight for weight and number for number.

  python scripts/parity.py [--kit DIR] [--map FILE] [--case GLOB] [--json FILE] [--docs FILE]

A line a case as it is done; a run of all cases writes docs/parity.md. What the JSON file holds of cases that are not
run stays there, and is on the page too, so that a few cases can be run anew. The exit status is 1 where a case that has
a config fails otherwise than by rounding.
"""

import argparse
import os
import pathlib
import sys

from jaxdet.compilation import use_cache
from jaxdet.parity import report
from jaxdet.parity.case import case_names
from jaxdet.parity.run import run_case
from jaxdet.zoo.lines import read_zoo

ROOT = pathlib.Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / 'shared' / 'parity'


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  kit = os.environ.get('JAXDET_PARITY', str(BESIDE))
  parser.add_argument('--kit', type=_path, default=kit, help='folder of golden files (or JAXDET_PARITY)')
  parser.add_argument('--map', type=_path, help='a table like configs/zoo.csv, whose lines win')
  parser.add_argument('--case', default='*', help="glob of case names, 'mmdet/*c4*' or '*c4*'")
  parser.add_argument('--json', type=_path, help='where to write every single number')
  parser.add_argument('--docs', type=_path, help='where to write the page; of all cases: docs/parity.md')
  options = parser.parse_args()

  os.chdir(ROOT)  # the table's configs are relative to it
  use_cache()
  zoo = read_zoo(filter(None, (ROOT / 'configs' / 'zoo.csv', options.map)))
  names = case_names(options.kit, options.case)
  if not names:
    sys.exit(f"no case of {options.kit} matches '{options.case}'")
  kept = {result.case: result for result in report.read_json(options.json)} if options.json else {}
  ran = []
  print(report.heading(), flush=True)
  for name in names:
    kept[name] = run_case(options.kit, name, zoo)
    ran.append(kept[name])
    print('\n'.join([report.line(ran[-1]), *report.details(ran[-1])]), flush=True)
    if options.json:
      report.write_json(list(kept.values()), options.json)

  page = options.docs or (ROOT / 'docs' / 'parity.md' if options.case == '*' else None)
  if page:
    every = [kept[name] for name in case_names(options.kit) if name in kept]
    page.write_text(report.page(every, 'python scripts/parity.py'))
  sys.exit(any(result.config and not (result.passed or result.is_rounding) for result in ran))


def _path(text: str) -> pathlib.Path:
  return pathlib.Path(text).resolve()


if __name__ == '__main__':
  main()
