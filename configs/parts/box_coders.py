"""Box coders: the meaning of the numbers that heads predict for a box."""


def deltas(
  weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0),
  scale_clamp: str = 'symmetric',
  legacy_plus_one: bool = False,
) -> dict:
  """Box coder of centre shifts and log scales, see ops/box_coder.py."""
  return {'name': 'deltas', 'weights': weights, 'scale_clamp': scale_clamp, 'legacy_plus_one': legacy_plus_one}
