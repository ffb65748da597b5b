"""Outlines of the generated objects: polygons around the origin with radius 1."""

import numpy as np
from jaxtyping import Float64

Polygon = Float64[np.ndarray, 'points 2']


def _polar(radius: np.ndarray, angle: np.ndarray) -> Polygon:
  return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _regular(corners: int) -> Polygon:
  return _polar(np.ones(corners), np.arange(corners) * 2 * np.pi / corners - np.pi / 2)


def _star(points: int, inner: float) -> Polygon:
  radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
  return _polar(radius, np.arange(2 * points) * np.pi / points - np.pi / 2)


def _flower(petals: int, depth: float) -> Polygon:
  angle = np.linspace(0, 2 * np.pi, 12 * petals, endpoint=False)
  return _polar(1 - depth * (0.5 + 0.5 * np.cos(petals * angle)), angle)


def _corners(*points: tuple[float, float]) -> Polygon:
  """Centres a polygon, and scales it to radius 1."""
  corners = np.array(points)
  corners = corners - (corners.min(axis=0) + corners.max(axis=0)) / 2
  return corners / np.hypot(corners[:, 0], corners[:, 1]).max()


def _arc(start: float, stop: float, count: int) -> np.ndarray:
  return np.linspace(start, stop, count) * np.pi


def _heart() -> Polygon:
  t = _arc(0, 2, 48)[:-1]
  x = 16 * np.sin(t) ** 3
  y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
  return _corners(*zip(x, -y, strict=True))


def _crescent() -> Polygon:
  # The unit circle without a circle of radius 0.78 around (-0.42, 0), between their intersections.
  outside = _polar(np.ones(33), _arc(-0.736, 0.736, 33))
  inside = _polar(np.full(25, 0.78), _arc(0.606, -0.606, 25))[1:-1] - [0.42, 0]
  return _corners(*np.concatenate([outside, inside]))


def _lens() -> Polygon:
  arc = _polar(np.ones(17), _arc(0.2, 0.8, 17))
  upper = arc - [0, arc[0, 1]]
  return _corners(*upper, *-upper[1:-1])


def _drop() -> Polygon:
  round_part = _polar(np.full(33, 0.62), _arc(-0.15, 1.15, 33)) + [0, 0.38]
  return _corners(*round_part, (0, -1))


def _half_discs() -> list[Polygon]:
  upper = _polar(np.ones(21), _arc(1, 2, 21)) * [1, 0.85] - [0, 0.15]
  return [upper, -upper]


OUTLINES: dict[str, list[Polygon]] = {
  'disc': [_regular(40)],
  'star': [_star(5, 0.42)],
  'square': [_regular(4)],
  'heart': [_heart()],
  'triangle': [_regular(3)],
  'crescent': [_crescent()],
  'cross': [
    _corners(
      *[(1, -0.32), (1, 0.32), (0.32, 0.32), (0.32, 1), (-0.32, 1), (-0.32, 0.32)],
      *[(-1, 0.32), (-1, -0.32), (-0.32, -0.32), (-0.32, -1), (0.32, -1), (0.32, -0.32)],
    )
  ],
  'flower': [_flower(6, 0.4)],
  'arrow': [_corners((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1))],
  'halves': _half_discs(),  # one object of two polygons
  'lens': [_lens()],
  'bolt': [_corners((0.15, -1), (-0.6, 0.12), (-0.08, 0.12), (-0.3, 1), (0.6, -0.28), (0.08, -0.28), (0.5, -1))],
  'drop': [_drop()],
  'gear': [_star(12, 0.72)],
  'angle': [_corners((-0.8, -1), (-0.2, -1), (-0.2, 0.4), (0.8, 0.4), (0.8, 1), (-0.8, 1))],
  'blade': [_star(4, 0.3)],
}
