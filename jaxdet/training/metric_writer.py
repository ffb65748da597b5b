"""Writes scalars by step to `metrics.jsonl` and for TensorBoard (`tensorboard/`)."""

import json
import pathlib
from collections.abc import Mapping

from jaxdet.training.event_file import EventFile


class MetricWriter:
  """Writes scalars below a folder; lines of the file after `start_step`, where training resumes, are dropped."""

  def __init__(self, workdir: str, start_step: int = 0):
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'metrics.jsonl'
    kept = [line for line in _lines(path) if json.loads(line)['step'] <= start_step]
    path.write_text(''.join(kept))
    self._file = path.open('a')
    self._events = EventFile(folder / 'tensorboard', first_step=start_step + 1)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes one line of JSON with the step and the scalars by name."""
    self._file.write(json.dumps({'step': step, **scalars}) + '\n')
    self._file.flush()
    self._events.write(step, scalars)

  def close(self) -> None:
    self._file.close()
    self._events.close()


def _lines(path: pathlib.Path) -> list[str]:
  """Complete lines of a file, [] without a file; a killed process may have left an incomplete last line."""
  return [line for line in path.open() if line.endswith('\n')] if path.exists() else []
