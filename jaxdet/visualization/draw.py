"""Draws boxes, masks and names on pictures, with PIL and NumPy alone."""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

LEGIBLE = 480  # pixels: pictures with a shorter longest side are enlarged before drawing
LONGEST_SIDE = 32_000  # pixels: two of them fit side by side in a JPEG, whose sides are at most 65,500
MOST_PIXELS = 50_000_000  # larger pictures are drawn smaller: the drawing takes several times their memory
MASK_OPACITY = 0.38
PAPER, INK = (250, 250, 250), (40, 40, 40)

Picture = UInt8[np.ndarray, 'H W 3']


def colour(category_id: int) -> tuple[int, int, int]:
  """RGB colour of a category, always the same; neighbouring ids get very different colours."""
  hue = category_id * 0.6180339887 % 1  # steps of the golden ratio spread hues evenly
  saturation = (0.85, 0.6, 1.0)[category_id % 3]
  value = (1.0, 0.85)[category_id // 3 % 2]
  return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))


def drawn_size(height: int, width: int) -> tuple[int, int]:
  """The size (height, width), or the largest of its aspect ratio that is drawn."""
  shrink = min(1, LONGEST_SIDE / max(height, width), (MOST_PIXELS / (height * width)) ** 0.5)
  return max(int(height * shrink), 1), max(int(width * shrink), 1)


def blend(pixels: UInt8[np.ndarray, 'N 3'], shade: tuple[int, int, int], opacity: float) -> UInt8[np.ndarray, 'N 3']:
  """Blends a colour into pixels."""
  table = np.round(np.arange(256)[:, None] * (1 - opacity) + np.asarray(shade) * opacity).astype(np.uint8)
  return table[pixels, np.arange(3)]


def draw_detections(
  image: Picture,
  boxes: Float[np.ndarray, 'N 4'],
  labels: Int[np.ndarray, 'N'],
  scores: Float[np.ndarray, 'N'] | None,
  masks: Sequence[Bool[np.ndarray, 'H W']] | None,
  names: Mapping[int, str],
) -> UInt8[np.ndarray, 'H2 W2 3']:
  """Draws masks, boxes (x1, y1, x2, y2) in the image's pixels, and 'name score' on each.

  Small images are enlarged by a whole number, so that text is legible; very large ones are drawn smaller
  (`drawn_size`). Lines and text scale with the image.

  Args:
    labels: keys of `names`; they choose the colour.
    scores: written as percent; None for ground truth.
    masks: each is looked up once, when it is painted.
  """
  zoom = max(1, round(LEGIBLE / max(image.shape[:2])))
  height, width = drawn_size(image.shape[0] * zoom, image.shape[1] * zoom)
  canvas = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)).copy()
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(np.divide((width, height), image.shape[1::-1]), 2)
  line = max(2, round(max(height, width) / 400))
  extent = boxes[:, 2:] - boxes[:, :2]
  order = np.argsort(-extent.prod(1), kind='stable')  # small ones on top
  if masks is not None:
    for i in order:
      _paint_mask(canvas, _resize_mask(masks[i], height, width), colour(int(labels[i])), line)
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


def _resize_mask(mask: Bool[np.ndarray, 'H W'], height: int, width: int) -> Bool[np.ndarray, 'H2 W2']:
  """Resizes a mask, with smooth outlines."""
  if mask.shape == (height, width):
    return np.asarray(mask, bool)
  return np.asarray(Image.fromarray(np.uint8(mask) * 255).resize((width, height), Image.Resampling.BILINEAR)) > 127


def _paint_mask(canvas: Picture, mask: Bool[np.ndarray, 'H W'], shade: tuple[int, int, int], line: int) -> None:
  """Blends the colour into the mask's pixels, and paints its outline in full colour."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  if not len(rows):
    return
  window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
  pixels, outline = canvas[window], mask[window]
  core = _core(outline, line)
  pixels[outline & ~core] = shade
  pixels[core] = blend(pixels[core], shade, MASK_OPACITY)


def _core(mask: Bool[np.ndarray, 'H W'], distance: int) -> Bool[np.ndarray, 'H W']:
  """Pixels of a mask that are more than `distance` from its outline, along both axes and diagonally."""
  for _ in range(2):
    run = np.pad(mask, ((distance, distance), (0, 0)))
    length = 1  # of the pixels below each other that are all in the mask
    while length <= 2 * distance:
      step = min(length, 2 * distance + 1 - length)
      run = run[:-step] & run[step:]
      length += step
    mask = run.T  # then along the other axis
  return mask


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
