"""Draws boxes, masks and names on pictures, with PIL and NumPy alone."""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

LEGIBLE = 480  # pixels: pictures with a shorter longest side are enlarged before drawing
MASK_OPACITY = 0.38
PAPER, INK = (250, 250, 250), (40, 40, 40)

Picture = UInt8[np.ndarray, 'H W 3']


def colour(category_id: int) -> tuple[int, int, int]:
  """RGB colour of a category, always the same; neighbouring ids get very different colours."""
  hue = category_id * 0.6180339887 % 1  # steps of the golden ratio spread hues evenly
  saturation = (0.85, 0.6, 1.0)[category_id % 3]
  value = (1.0, 0.85)[category_id // 3 % 2]
  return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))


def draw_detections(
  image: Picture,
  boxes: Float[np.ndarray, 'N 4'],
  labels: Int[np.ndarray, 'N'],
  scores: Float[np.ndarray, 'N'] | None,
  masks: Bool[np.ndarray, 'N H W'] | None,
  names: Mapping[int, str],
) -> UInt8[np.ndarray, 'H2 W2 3']:
  """Draws masks, boxes (x1, y1, x2, y2) in the image's pixels, and 'name score' on each.

  Small images are enlarged by a whole number, so that text is legible; lines and text scale with the image.

  Args:
    labels: keys of `names`; they choose the colour.
    scores: written as percent; None for ground truth.
  """
  zoom = max(1, round(LEGIBLE / max(image.shape[:2])))
  height, width = image.shape[0] * zoom, image.shape[1] * zoom
  canvas = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)).copy()
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4) * zoom
  line = max(2, round(max(height, width) / 400))
  extent = boxes[:, 2:] - boxes[:, :2]
  order = np.argsort(-extent.prod(1), kind='stable')  # small ones on top
  if masks is not None:
    for i in order:
      _paint_mask(canvas, _enlarge(masks[i], zoom), colour(int(labels[i])), line)
  picture = Image.fromarray(canvas)
  pen = ImageDraw.Draw(picture)
  for i in order:
    corners = np.round(boxes[i]).tolist()
    corners[2:] = max(corners[2] - 1, corners[0]), max(corners[3] - 1, corners[1])
    pen.rectangle(corners, outline=colour(int(labels[i])), width=line)
  font = ImageFont.load_default(max(12, round(max(height, width) / 45)))
  written = []
  for i in order[::-1]:
    text = names[int(labels[i])].replace('_', ' ')
    if scores is not None:
      text = f'{text} {100 * scores[i]:.0f}'
    written.append(_write(pen, text, boxes[i], colour(int(labels[i])), font, (width, height), written))
  return np.asarray(picture)


def side_by_side(left: Picture, right: Picture, titles: tuple[str, str]) -> UInt8[np.ndarray, 'H2 W2 3']:
  """Puts two pictures of equal height side by side, each with its title above."""
  return contact_sheet([left, right], titles, columns=2)


def contact_sheet(pictures: Sequence[Picture], titles: Sequence[str], columns: int) -> UInt8[np.ndarray, 'H2 W2 3']:
  """Arranges pictures in rows, each centred in a cell as large as the largest, with its title above."""
  cell_height, cell_width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
  font = ImageFont.load_default(max(13, round(max(cell_height, cell_width) / 40)))
  gap = max(6, cell_width // 80)
  header = round(1.9 * font.size)
  rows = -(-len(pictures) // columns)
  size = (columns * (cell_width + gap) + gap, rows * (cell_height + header) + gap)
  sheet = Image.new('RGB', size, PAPER)
  pen = ImageDraw.Draw(sheet)
  for i, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
    x, y = gap + i % columns * (cell_width + gap), i // columns * (cell_height + header)
    pen.text((x, y + header / 2), title, INK, font, anchor='lm')
    corner = x + (cell_width - picture.shape[1]) // 2, y + header + (cell_height - picture.shape[0]) // 2
    sheet.paste(Image.fromarray(picture), corner)
  return np.asarray(sheet)


def _enlarge(mask: Bool[np.ndarray, 'H W'], zoom: int) -> Bool[np.ndarray, 'H2 W2']:
  """Enlarges a mask by `zoom`, with smooth outlines."""
  if zoom == 1:
    return np.asarray(mask, bool)
  size = mask.shape[1] * zoom, mask.shape[0] * zoom
  return np.asarray(Image.fromarray(np.uint8(mask) * 255).resize(size, Image.Resampling.BILINEAR)) > 127


def _paint_mask(canvas: Picture, mask: Bool[np.ndarray, 'H W'], shade: tuple[int, int, int], line: int) -> None:
  """Blends the colour into the mask's pixels, and paints its outline in full colour."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  if not len(rows):
    return
  window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
  inside = mask[window]
  core = np.pad(inside, line)
  for axis in (0, 1):  # pixels up to `line` from the outline, in each direction
    core = np.logical_and.reduce([np.roll(core, shift, axis) for shift in range(-line, line + 1)])
  outline = inside & ~core[line:-line, line:-line]
  opacity = np.where(outline, 1.0, np.where(inside, MASK_OPACITY, 0.0))[..., None]
  canvas[window] = np.round(canvas[window] * (1 - opacity) + np.asarray(shade) * opacity)


def _write(
  pen: ImageDraw.ImageDraw,
  text: str,
  box: Float[np.ndarray, '4'],
  shade: tuple[int, int, int],
  font: ImageFont.FreeTypeFont,
  size: tuple[int, int],
  written: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
  """Writes the text at a corner of the box that overlaps no rectangle in `written`; returns its rectangle."""
  margin = max(2, font.size // 6)
  width = pen.textlength(text, font) + 2 * margin
  height = 1.25 * font.size
  x1, y1, x2, y2 = box
  corners = [(x1, y1 - height), (x1, y1), (x2 - width, y1 - height), (x1, y2), (x1, y2 - height), (x2 - width, y2)]
  places = []
  for x, y in corners:
    x, y = min(max(x, 0), max(size[0] - width, 0)), min(max(y, 0), max(size[1] - height, 0))
    places.append((x, y, x + width, y + height))
  place = min(places, key=lambda place: sum(_common_area(place, other) for other in written))
  pen.rectangle(place, fill=shade)
  brightness = np.dot(shade, (0.299, 0.587, 0.114))
  ink = (0, 0, 0) if brightness > 120 else (255, 255, 255)
  pen.text((place[0] + margin, (place[1] + place[3]) / 2), text, ink, font, anchor='lm')
  return place


def _common_area(a: Sequence[float], b: Sequence[float]) -> float:
  return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
