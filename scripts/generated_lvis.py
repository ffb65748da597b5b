"""Draws random images, annotations and detections with the statistics of LVIS v1, for benchmarks without the data.

As in LVIS's validation split an image of 640 x 480 has 12.4 objects of 3 categories, with a median area of 700 square
pixels and polygons of 29 points; nine categories are known to be absent, and long-tailed categories are as rare as in
LVIS. Everything is made image by image and determined by the seed.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw
from pycocotools import mask as rle_codec

HEIGHT, WIDTH = 480, 640
OBJECTS = 12.35  # per image, on average
VERTICES = 29  # of a polygon
GROUPS = {'f': (405, 2000, 100), 'c': (461, 100, 10), 'r': (337, 10, 1)}  # categories, most and fewest images
JPEG_QUALITY = 97  # gives files of about 160 kB, as COCO's

Random = np.random.Generator


def categories() -> list[dict]:
  """Makes 1203 categories by falling frequency: ids from 1, groups and training images as in LVIS."""
  table = []
  for frequency, (count, most, least) in GROUPS.items():
    for images in np.geomspace(most, least, count, endpoint=False):
      entry = {'id': len(table) + 1, 'name': f'category_{len(table) + 1}', 'frequency': frequency}
      table.append(entry | {'image_count': int(images)})
  return table


def annotations(images: int, objects: int | None = None, seed: int = 0) -> dict:
  """Draws the content of an annotation file.

  Args:
    objects: per image; None: a random number with LVIS's mean.
  """
  table = categories()
  ids = np.array([entry['id'] for entry in table])
  weights = np.array([entry['image_count'] for entry in table], np.float64)
  cumulative = np.cumsum(weights) / weights.sum()
  content = {'images': [], 'annotations': [], 'categories': table}
  for image_id in range(1, images + 1):
    random = np.random.default_rng((seed, image_id))
    count = objects or int(random.poisson(random.gamma(0.75, OBJECTS / 0.75)))
    present = ids[np.searchsorted(cumulative, random.random(min(count, 1 + random.poisson(2.2))))]
    absent = np.setdiff1d(random.choice(ids, 9, replace=False), present)
    content['images'].append(
      {
        'id': image_id,
        'height': HEIGHT,
        'width': WIDTH,
        'file_name': f'{image_id:012d}.jpg',
        'neg_category_ids': absent.tolist(),
        'not_exhaustive_category_ids': present[:1].tolist() if random.random() < 0.16 else [],
      }
    )
    labels = np.concatenate([present, random.choice(present, max(count - len(present), 0))]) if count else present
    for label, outline in zip(labels.tolist(), np.round(outlines(random, count), 2), strict=True):
      content['annotations'].append(
        {'id': len(content['annotations']) + 1, 'image_id': image_id, 'category_id': label, **geometry(outline)}
      )
  return content


def outlines(random: Random, count: int) -> Float[np.ndarray, 'N V 2']:
  """Draws round shapes with dents (x, y) within the image: sides and proportions are log-normal, as in LVIS."""
  side, aspect = np.exp(random.normal(3.5, 1.0, count)), np.exp(random.normal(0, 0.4, count))
  size = np.minimum(np.stack([side * aspect, side / aspect], axis=-1).clip(4), (WIDTH, HEIGHT))
  corner = random.random((count, 2)) * ((WIDTH, HEIGHT) - size)
  return corner[:, None] + blobs(random, count) * size[:, None]


def blobs(random: Random, count: int) -> Float[np.ndarray, 'N V 2']:
  """Draws round shapes with dents that fill the unit square."""
  angle = np.arange(VERTICES) * (2 * np.pi / VERTICES)
  waves = np.sin(angle * random.integers(2, 6, (count, 1)) + random.uniform(0, 2 * np.pi, (count, 1)))
  radius = 1 + 0.2 * waves + 0.05 * random.normal(size=(count, VERTICES))
  points = radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
  return (points - low) / (high - low)


def geometry(outline: Float[np.ndarray, 'V 2']) -> dict:
  """Makes `bbox`, `area` and `segmentation` of an annotation."""
  x, y = outline.T
  low, high = outline.min(axis=0), outline.max(axis=0)
  area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
  return {
    'bbox': [round(v, 2) for v in (*low.tolist(), *(high - low).tolist())],
    'area': round(float(area), 2),
    'segmentation': [outline.ravel().tolist()],
  }


def detections(content: Mapping, count: int, seed: int = 0) -> Iterator[list[dict]]:
  """Draws `count` results for each image of an annotation file with polygons, image by image.

  Nine of ten objects are found, with noise in position and size and sometimes another category. Random boxes fill up
  the image, three of ten of a category that is evaluated there. Random boxes have lower scores.
  """
  ids = np.array([entry['id'] for entry in content['categories']])
  objects = {image['id']: [] for image in content['images']}
  for entry in content['annotations']:
    objects[entry['image_id']].append(entry)
  for image in content['images']:
    yield image_detections(np.random.default_rng((seed, 1, image['id'])), image, objects[image['id']], ids, count)


def image_detections(
  random: Random, image: Mapping, objects: Sequence[Mapping], ids: Int[np.ndarray, 'K'], count: int
) -> list[dict]:
  limit = np.array([image['width'], image['height']], np.float64)
  found = [entry for entry in objects if random.random() < 0.9][:count]
  boxes = np.array([entry['bbox'] for entry in found], np.float64).reshape(-1, 4)
  judged = np.array([*(entry['category_id'] for entry in objects), *image['neg_category_ids'], ids[0]])
  others = count - len(found)
  size = np.minimum(np.exp(random.normal(3.8, 0.9, (others, 2))), limit)
  boxes = np.concatenate([boxes, np.concatenate([random.random((others, 2)) * (limit - size), size], axis=1)])
  labels = np.array([entry['category_id'] for entry in found], np.int64)
  labels = np.where(random.random(len(found)) < 0.8, labels, random.choice(ids, len(found)))
  fill = np.where(random.random(others) < 0.3, random.choice(judged, others), random.choice(ids, others))
  labels = np.concatenate([labels, fill])
  scores = random.random(count) * np.where(np.arange(count) < len(found), 1.0, 0.5)

  moved = boxes + np.concatenate([boxes[:, 2:], boxes[:, 2:]], axis=1) * random.normal(0, 0.07, (count, 4))
  corners = np.concatenate([moved[:, :2], moved[:, :2] + moved[:, 2:].clip(1)], axis=1).clip(0, [*limit, *limit])
  shapes = list(blobs(random, count))
  for i, entry in enumerate(found):
    polygon = np.array(entry['segmentation'][0]).reshape(-1, 2)
    shapes[i] = (polygon - boxes[i, :2]) / boxes[i, 2:]
  extents = corners[:, 2:] - corners[:, :2]
  polygons = [(corners[i, :2] + shape * extents[i]).ravel() for i, shape in enumerate(shapes)]
  masks = rle_codec.frPyObjects(polygons, image['height'], image['width'])
  results = np.concatenate([corners[:, :2], extents], axis=1).astype(np.float32).tolist()
  return [
    {
      'image_id': image['id'],
      'category_id': label,
      'bbox': box,
      'score': score,
      'segmentation': {'size': mask['size'], 'counts': mask['counts'].decode()},
    }
    for label, box, score, mask, extent in zip(
      labels.tolist(), results, scores.astype(np.float32).tolist(), masks, extents, strict=True
    )
    if extent.min() > 0
  ]


def write_photographs(folder: str, content: Mapping, seed: int = 0) -> None:
  """Draws the images of an annotation file as JPEGs: backgrounds with single-coloured objects, and noise."""
  from input_pipeline import shape_drawing

  os.makedirs(folder, exist_ok=True)
  outlines_of = {image['id']: [] for image in content['images']}
  for entry in content['annotations']:
    outlines_of[entry['image_id']].append(entry['segmentation'][0])
  for image in content['images']:
    random = np.random.default_rng((seed, 2, image['id']))
    background = shape_drawing.background(random, max(HEIGHT, WIDTH))[:HEIGHT, :WIDTH]
    drawn = Image.fromarray(background.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for outline in outlines_of[image['id']]:
      pen.polygon(outline, fill=tuple(random.integers(0, 256, 3).tolist()))
    photograph = shape_drawing.develop(random, np.asarray(drawn, np.float32))
    photograph.save(os.path.join(folder, image['file_name']), quality=JPEG_QUALITY)


def write_annotations(path: str, content: Mapping) -> None:
  with open(f'{path}.partial', 'w') as file:
    json.dump(content, file)
  os.replace(f'{path}.partial', path)
