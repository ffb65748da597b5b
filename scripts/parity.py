"""Compares jaxdet with recorded runs of the upstream programs, weight for weight and number for number.

  python scripts/parity.py [--kit DIR] [--map FILE] [--case GLOB] [--json FILE] [--docs FILE] [--numbers FILE]

Prints one line per finished case; a run of all cases writes docs/parity.json and, from it, docs/parity.md. Results of
cases that are not run stay in the JSON file and on the page, so that a few cases can be run again:

  python scripts/parity.py --case 'mmdet/yolact*' --json docs/parity.json --docs docs/parity.md

The exit status is 1 if a case with a config fails by more than rounding.
"""

import argparse
import dataclasses
import os
import pathlib
import sys

from jaxdet.compilation import use_cache
from jaxdet.parity import report
from jaxdet.parity.case import case_names
from jaxdet.parity.records import read_records, write_records
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
  parser.add_argument('--json', type=_path, help='records, a line a case; of all cases: docs/parity.json')
  parser.add_argument('--docs', type=_path, help='the page of the records; of all cases: docs/parity.md')
  parser.add_argument('--numbers', type=_path, help='every single number, a line each, between tabs')
  options = parser.parse_args()

  os.chdir(ROOT)  # the table's configs are relative to it
  use_cache()
  zoo = read_zoo(filter(None, (ROOT / 'configs' / 'zoo.csv', options.map)))
  names = case_names(options.kit, options.case)
  if not names:
    sys.exit(f"no case of {options.kit} matches '{options.case}'")
  every_case = options.case == '*'
  file = options.json or (ROOT / 'docs' / 'parity.json' if every_case else None)
  page = options.docs or (ROOT / 'docs' / 'parity.md' if every_case else None)
  kept = {record.case: record for record in read_records(file)[0]} if file else {}
  ran, made_with = [], report.made_with()
  print(report.heading(), flush=True)
  for name in names:
    record, checks = run_case(options.kit, name, zoo)
    kept[name] = record
    ran.append(record)
    print('\n'.join([report.line(record), *report.details(record)]), flush=True)
    if file:
      write_records(file, kept.values(), made_with)
    if options.numbers:
      with options.numbers.open('a') as f:
        f.writelines('\t'.join(map(str, (name, *dataclasses.astuple(check)))) + '\n' for check in checks)
  if page:
    page.write_text(report.page(list(kept.values()), 'python scripts/parity.py', made_with))
  sys.exit(any(record.config and record.verdict not in ('PASS', 'ROUNDING') for record in ran))


def _path(text: str) -> pathlib.Path:
  return pathlib.Path(text).resolve()


if __name__ == '__main__':
  main()
