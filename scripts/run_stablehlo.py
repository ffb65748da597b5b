"""Runs a detector exported by `export --to stablehlo` on one image, with jax, numpy and Pillow alone.

python scripts/run_stablehlo.py detector.stablehlo photo.jpg
"""

import json
import sys

import jax.export
import numpy as np
from PIL import Image, ImageOps

program, photo = sys.argv[1:]
detector = jax.export.deserialize(bytearray(open(program, 'rb').read()))
about = json.load(open(f'{program}.json'))

image = ImageOps.exif_transpose(Image.open(photo)).convert('RGB')
images = np.zeros(detector.in_avals[0].shape, np.uint8)
_, height, width, _ = images.shape
size = (width, height)
if not about.get('stretched'):
  scale = about['shortest_side'] / min(image.size)
  scale = min(scale, about['longest_side'] / max(image.size), height / image.height, width / image.width)
  size = [int(side * scale + 0.5) for side in image.size]
resized = image.resize(size, Image.Resampling.BILINEAR)
images[0, : resized.height, : resized.width] = resized
sizes = np.tile(np.int32([[resized.height, resized.width]]), (len(images), 1))

found = {name: np.asarray(value[0]) for name, value in detector.call(images, sizes).items()}
for box, score, label in zip(*(found[name][found['valid']] for name in ('boxes', 'scores', 'labels')), strict=True):
  x1, y1, x2, y2 = box * np.tile(np.divide(image.size, resized.size), 2)
  print(f'{score:.4f} {about["categories"][label]} {x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f}')
