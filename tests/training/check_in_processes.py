"""Run by test_check_together: process `argv[1]` of `argv[2]`; its second check refuses if `argv[4]` is not empty.

python check_in_processes.py PROCESS PROCESSES COORDINATOR TEXT
"""

import sys

import jax

from jaxdet.training.processes import check_together


def main(process: int, processes: int, coordinator: str, text: str) -> None:
  jax.distributed.initialize(coordinator, processes, process)

  def check() -> None:
    if text:
      raise OSError(text)

  check_together(lambda: None)
  try:
    check_together(check)
  except (OSError, ValueError) as error:
    print(f'{type(error).__name__}: {error}')
  else:
    print('passed')


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
