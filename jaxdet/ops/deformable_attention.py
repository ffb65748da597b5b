"""Multi-scale deformable attention (Zhu et al., 2021): every query reads a few points of every level.

The operator is that of mmcv and of Deformable DETR.
"""

from jaxtyping import Array, Float

from jaxdet.ops.bilinear_reads import bilinear_reads

Shapes = tuple[tuple[int, int], ...]  # (height, width) of every level


def deformable_attention(
  values: Float[Array, 'B S H D'],
  shapes: Shapes,
  locations: Float[Array, 'B Q H L P 2'],
  weights: Float[Array, 'B Q H L P'],
) -> Float[Array, 'B Q H*D']:
  """Weighted sum of bilinear samples, for each query and head.

  Args:
    values: cells of all levels, level by level and row by row; any float type. Sums are float32.
    shapes: (height, width) of each level; S cells in total.
    locations: (x, y) in [0, 1] from the outer edge of a level's first cell to that of its last; zero outside.
    weights: attention weights of the points.

  Raises:
    ValueError: where the levels do not have S cells.
  """
  batch, cells, *heads_and_depth = values.shape
  needed = sum(height * width for height, width in shapes)
  if cells != needed:
    raise ValueError(f'levels of {shapes} have {needed} cells, but there are values of {cells}')
  total, start = 0.0, 0
  for level, (height, width) in enumerate(shapes):
    feature = values[:, start : start + height * width].reshape(batch, height, width, *heads_and_depth)
    x, y = (locations[..., level, :, i] * side - 0.5 for i, side in enumerate((width, height)))
    total += bilinear_reads(feature, y, x, weights[..., level, :])
    start += height * width
  return total.reshape(batch, locations.shape[1], -1).astype(values.dtype)
