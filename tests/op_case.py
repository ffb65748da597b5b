"""One operator of mmdetection as recorded: its inputs and what came out."""

import dataclasses

import numpy as np

import parity_kit


@dataclasses.dataclass(frozen=True)
class OpCase:
  name: str
  args: dict  # upstream's own arguments
  inputs: dict[str, np.ndarray]
  outputs: dict[str, np.ndarray]

  def cotangent(self, shape: tuple[int, ...]) -> np.ndarray:
    """What the recorded gradients were multiplied with: they are those of (output * cotangent).sum()."""
    return parity_kit.recipe().normal(f'{self.name}|cotangent', shape).astype(np.float32)


def op_case(operator: str, name: str) -> OpCase:
  """The case `name` of the golden file ops/`operator`."""
  arrays, meta = parity_kit.case(f'ops/{operator}')
  recorded = next(c for c in meta['cases'] if c['name'] == name)
  outputs = {key: arrays[f'{name}/{key}'] for key in recorded['outputs']}
  return OpCase(
    name, recorded['args'], {key: _input(spec, arrays) for key, spec in recorded['inputs'].items()}, outputs
  )


def _input(spec: dict, arrays: dict[str, np.ndarray]) -> np.ndarray:
  if 'array' in spec:
    return arrays[spec['array']]
  draw = 'normal' if 'normal' in spec else 'uniform'
  values = getattr(parity_kit.recipe(), draw)(spec[draw], spec['shape'])
  return (values * spec['scale'] + spec['shift']).astype(np.float32)
