"""Reads spoilt annotation files as training and as evaluation do, and counts their verdicts (docs/reliability.md).

  python scripts/fuzz_annotations.py --files 10000

The files are those of tests/annotations/test_reader_fuzz.py, which reads 300. A file is accepted, refused in words of
the reader with the file's name, or unclear: any other error. Exit status 1 if one is unclear, or if training and
evaluation differ. The last file is kept beside the count, in case that the process itself ends.
"""

import argparse
import collections
import os
import pathlib
import resource
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

os.environ['TQDM_DISABLE'] = '1'  # before tqdm is imported
MEMORY = 4 * 2**30  # bytes of address space


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--files', type=int, default=10_000)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--output', default='', help='folder of unclear files; without: a temporary one')
  options = parser.parse_args()
  resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
  folder = pathlib.Path(options.output or tempfile.mkdtemp(prefix='fuzz_annotations_'))
  folder.mkdir(parents=True, exist_ok=True)
  start = time.monotonic()
  counts = fuzz(options.files, options.seed, folder)
  for what, count in sorted(counts.items()):
    print(f'{count:6} {what}')
  seconds, memory = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  print(f'{counts.total()} files in {seconds:.0f} s, {memory:.0f} MiB at most; {folder}')
  sys.exit(any('unclear' in what or 'different' in what for what in counts))


def fuzz(files: int, seed: int, folder: pathlib.Path) -> collections.Counter[str]:
  """Counts verdicts; writes files that are unclear, or not judged alike, into the folder."""
  import hypothesis

  from annotation_mutations import annotation_bytes, evaluate, train, verdict

  counts: collections.Counter[str] = collections.Counter()
  path = folder / 'last.json'

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=files, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
  )
  @hypothesis.given(data=annotation_bytes())
  def one(data: bytes) -> None:
    path.write_bytes(data)
    (training, message), (evaluation, other) = verdict(train, str(path)), verdict(evaluate, str(path))
    what = training if training == evaluation else f'different: training {training}, evaluation {evaluation}'
    counts[what] += 1
    if what not in ('accepted', 'refused'):
      stem = folder / f'{what.split(":")[0]}_{counts[what]}'
      stem.with_suffix('.json').write_bytes(data)
      stem.with_suffix('.txt').write_text(f'{message}\n\n{other}\n')

  one()
  return counts


if __name__ == '__main__':
  main()
