"""Draws the generated pictures: backgrounds, and objects with an outline, a hue and a texture."""

import dataclasses

import numpy as np
from jaxtyping import Float32, Float64
from PIL import Image, ImageDraw

from input_pipeline.outlines import OUTLINES

SUPERSAMPLING = 4

Picture = Float32[np.ndarray, 'S S 3']  # RGB, 0..255, drawn in place

# Body and pattern colour of each hue.
HUES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
  'red': ((214, 28, 32), (255, 190, 170)),
  'blue': ((24, 60, 214), (150, 205, 255)),
  'yellow': ((250, 214, 12), (140, 84, 0)),
  'green': ((16, 128, 42), (176, 240, 120)),
  'purple': ((118, 22, 168), (222, 170, 255)),
  'orange': ((255, 122, 0), (96, 34, 0)),
  'cyan': ((0, 206, 220), (0, 72, 96)),
  'black': ((18, 18, 20), (150, 150, 150)),
  'pink': ((255, 92, 176), (130, 0, 70)),
  'white': ((250, 250, 246), (96, 104, 120)),
  'lime': ((168, 236, 20), (40, 96, 0)),
  'brown': ((112, 58, 18), (226, 176, 120)),
}

# Share of the pattern colour at (u, v), the position in the object's own frame, radius 1.
TEXTURES = {
  'plain': lambda u, v: np.zeros_like(u),
  'striped': lambda u, v: np.sin(9 * u) > 0.2,
  'checked': lambda u, v: np.sin(7 * u) * np.sin(7 * v) > 0,
  'shaded': lambda u, v: np.clip(0.5 + 0.6 * v, 0, 1),
  'dotted': lambda u, v: np.hypot((u * 2.4) % 1 - 0.5, (v * 2.4) % 1 - 0.5) < 0.3,
  'ringed': lambda u, v: np.sin(13 * np.hypot(u, v)) > 0.3,
}

MAX_LOOKS = 288  # 48 pairs of outline and hue, each with six textures


@dataclasses.dataclass(frozen=True)
class Look:
  """Appearance of a category."""

  outline: str
  hue: str
  texture: str

  @property
  def name(self) -> str:
    return f'{self.texture}_{self.hue}_{self.outline}'


def looks(count: int) -> list[Look]:
  """Makes `count` different looks; of the first 48, two that share outline or hue differ in everything else."""
  outlines, hues, textures = list(OUTLINES), list(HUES), list(TEXTURES)
  return [Look(outlines[k % 16], hues[5 * k % 12], textures[(k - k // 8 + k // 48) % 6]) for k in range(count)]


def background(rng: np.random.Generator, size: int) -> Picture:
  """Draws smooth fields of muted colour, clutter out of focus, and light from one side."""
  base = rng.uniform(70, 185) + rng.normal(0, 16, 3)
  picture = np.broadcast_to(base, (size, size, 3)).astype(np.float32)
  for cells, strength, tint in ((2, 30, 14), (5, 16, 7), (14, 7, 3), (40, 4, 1)):
    grey = rng.normal(0, strength, (cells + 1, cells + 1, 1))
    picture = picture + _enlarge(grey + rng.normal(0, tint, (cells + 1, cells + 1, 3)), size)
  y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
  for _ in range(rng.integers(2, 6)):
    centre, radius = rng.uniform(-0.1, 1.1, 2), rng.uniform(0.05, 0.3)
    stretch, softness = rng.uniform(0.5, 2), rng.uniform(4, 14)
    distance = np.hypot((x - centre[0]) * stretch, (y - centre[1]) / stretch)
    alpha = 0.6 / (1 + np.exp((distance / radius - 1) * softness))
    colour = base + rng.normal(0, 32) + rng.normal(0, 12, 3)
    picture += alpha[..., None] * (colour - picture)
  slope = rng.normal(0, 0.25, 2)
  return (picture * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))[..., None]).astype(np.float32)


def draw(
  picture: Picture, look: Look, centre: tuple[float, float], radius: float, angle: float
) -> list[Float64[np.ndarray, 'points 2']]:
  """Draws an object with its shadow into `picture`; returns its polygons in pixels.

  Pixel (i, j) covers the square from (j, i) to (j + 1, i + 1), as in LVIS's polygons.
  """
  size = len(picture)
  turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
  polygons = [radius * outline @ turn + centre for outline in OUTLINES[look.outline]]

  margin = 2 + 0.25 * radius  # for the shadow
  left, top = (max(int(c - radius - margin), 0) for c in centre)
  right, bottom = (min(int(np.ceil(c + radius + margin)), size) for c in centre)
  width, height = right - left, bottom - top
  window = picture[top:bottom, left:right]

  fine = Image.new('L', (width * SUPERSAMPLING, height * SUPERSAMPLING))
  pen = ImageDraw.Draw(fine)
  for polygon in polygons:
    # PIL's coordinates are those of sample centres, half a sample from the corner.
    pen.polygon([tuple(p) for p in ((polygon - (left, top)) * SUPERSAMPLING - 0.5).tolist()], fill=255)
  inside = np.asarray(fine, np.float32) / 255

  depth = 0.08 * radius + 0.8
  shadow = fine.resize((width, height), Image.Resampling.BOX).resize(
    (max(int(width / depth), 2), max(int(height / depth), 2)), Image.Resampling.BOX
  )
  shadow = np.asarray(shadow.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
  shift = max(int(round(depth * 0.8)), 1)
  shadow = np.pad(shadow, ((shift, 0), (shift, 0)))[:height, :width]
  window *= 1 - 0.45 * shadow[..., None]

  x, y = _samples(left, width, SUPERSAMPLING) - centre[0], _samples(top, height, SUPERSAMPLING)[:, None] - centre[1]
  u, v = (turn[:, 0, None, None] * x + turn[:, 1, None, None] * y).astype(np.float32) / radius
  body, pattern = np.array(HUES[look.hue], np.float32)
  cover = _average(inside)[..., None]
  share = _average(inside * TEXTURES[look.texture](u, v))[..., None]
  x, y = _samples(left, width, 1) - centre[0], _samples(top, height, 1)[:, None] - centre[1]
  light = 1 - 0.11 * (x + y)[..., None] / radius  # from the upper left, as the shadow says
  window *= 1 - cover
  window += light * (cover * body + share * (pattern - body))
  return polygons


def develop(rng: np.random.Generator, picture: Picture) -> Image.Image:
  """Adds a camera's noise, and converts to 8 bits."""
  noisy = picture + rng.normal(0, 3, picture.shape[:2] + (1,)) + rng.normal(0, 2, picture.shape)
  return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def _samples(start: int, length: int, per_pixel: int) -> np.ndarray:
  """Centres of `per_pixel` samples per pixel, float32."""
  return ((np.arange(length * per_pixel) + 0.5) / per_pixel + start).astype(np.float32)


def _average(fine: np.ndarray) -> np.ndarray:
  """Averages samples to pixels."""
  height, width = (n // SUPERSAMPLING for n in fine.shape)
  return fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean(axis=(1, 3))


def _enlarge(cells: np.ndarray, size: int) -> Picture:
  """Interpolates values [n, n, 3] to the whole picture, with a cubic filter."""
  channels = [Image.fromarray(cells[..., c].astype(np.float32)) for c in range(3)]
  return np.stack([np.asarray(c.resize((size, size), Image.Resampling.BICUBIC)) for c in channels], axis=-1)
