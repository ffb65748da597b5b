"""Writes scalars by step to `metrics.jsonl` and for TensorBoard (`tensorboard/`)."""

import json
import pathlib
from collections.abc import Mapping


class MetricWriter:
  """Writes scalars below a folder; lines of the file after `start_step`, where training resumes, are dropped."""

  def __init__(self, workdir: str, start_step: int = 0):
    from tensorboardX import SummaryWriter  # imported here, since only runs with a workdir need it

    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'metrics.jsonl'
    kept = [line for line in _lines(path) if json.loads(line)['step'] <= start_step]
    path.write_text(''.join(kept))
    self._file = path.open('a')
    self._tensorboard = SummaryWriter(str(folder / 'tensorboard'), purge_step=start_step + 1)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes one line of JSON with the step and the scalars by name."""
    self._file.write(json.dumps({'step': step, **scalars}) + '\n')
    self._file.flush()
    for name, value in scalars.items():
      self._tensorboard.add_scalar(name.replace('@', '_'), value, step)  # TensorBoard does not allow '@'

  def close(self) -> None:
    self._file.close()
    self._tensorboard.close()


def _lines(path: pathlib.Path) -> list[str]:
  """Complete lines of a file, [] without a file; a killed process may have left an incomplete last line."""
  return [line for line in path.open() if line.endswith('\n')] if path.exists() else []
