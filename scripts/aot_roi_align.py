"""Prints the TPU compiler's estimates for one chunk of RoIAlign, reducing rows or columns of the map first.

  pip install 'jaxdet[tpu]'
  python scripts/aot_roi_align.py [--chip v5e]

One line per map: microseconds forward and backward of 64 RoIs of 7 x 7 (or 32 of 14 x 14) on 256 channels in bfloat16.
`ops/roi_align_matmul.py` reduces the longer axis first. No TPU is needed.
"""

import argparse
import os
import pathlib
import sys

from aot_tpu import GHZ

MAPS = {'P2, landscape': (200, 336), 'P2, portrait': (336, 200), 'P3, landscape': (100, 168), 'P4, landscape': (50, 84)}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--chip', default='v5e', choices=GHZ)
  chip = parser.parse_args().chip
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')  # there may be no TPU
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  print(f'{"":16}{"bins":>8}{"rows first":>16}{"columns first":>16}   microseconds forward, backward')
  for name, extent in MAPS.items():
    for bins in (7, 14):
      cells = [' '.join(f'{us:7.0f}' for us in expected(chip, extent, bins, by_rows)) for by_rows in (True, False)]
      print(f'{name:16}{bins:>8}' + ''.join(f'{cell:>16}' for cell in cells), flush=True)


def expected(chip: str, extent: tuple[int, int], bins: int, by_rows: bool) -> tuple[float, float]:
  """Estimated microseconds of `to_bins`, and of `from_bins` added to a gradient."""
  import jax
  import jax.numpy as jnp
  from jax.experimental import topologies

  from jaxdet.benchmark.estimated_cycles import estimated_cycles
  from jaxdet.ops.roi_align_matmul import CHUNK_BINS, from_bins, to_bins

  grid = '2x2x1' if chip in ('v4', 'v5p') else '1x1'
  device = topologies.get_topology_desc(platform='tpu', topology_name=f'{chip}:{grid}').devices[0]
  sharding = jax.sharding.SingleDeviceSharding(device)
  height, width, rois, channels = *extent, CHUNK_BINS // bins, 256

  def array(*shape: int, dtype=jnp.bfloat16):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

  wy, wx = array(rois, bins, height), array(rois, bins, width)
  forward = jax.jit(lambda *args: to_bins(*args, by_rows))
  backward = jax.jit(lambda total, *args: total + from_bins(*args, by_rows))
  programs = (
    forward.lower(array(*extent, channels), wy, wx),
    backward.lower(array(*extent, channels, dtype=jnp.float32), array(rois, bins, bins, channels), wy, wx),
  )
  return tuple(estimated_cycles(program.compile().as_text()).total / GHZ[chip] / 1e3 for program in programs)


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
