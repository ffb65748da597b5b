"""Makes the semantic maps that Panoptic FPN is trained on from COCO's panoptic annotations.

  python scripts/panoptic_stuff.py data/coco/annotations/panoptic_train2017.json \\
    --maps data/coco/panoptic_train2017 --output data/coco/panoptic_stuff_train2017

A PNG for each image: 0 where there is a thing, 1 to 53 the kinds of stuff in the order of their ids, 255 where there is
nothing. Those of Detectron2's prepare_panoptic_fpn.py are the same.
"""

import argparse
import concurrent.futures
import os

import tqdm
from PIL import Image

from jaxdet.annotations import panoptic


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('annotations', help='JSON file')
  parser.add_argument('--maps', default='', help='folder of its PNGs; without: the JSON file without its ending')
  parser.add_argument('--output', required=True, help='folder of the maps')
  options = parser.parse_args()
  write_maps(options.annotations, options.maps, options.output)


def write_maps(annotations: str, maps: str, output: str) -> None:
  """Writes a map for each image of a split."""
  split = panoptic.read(annotations, maps)
  os.makedirs(output, exist_ok=True)

  def write(image: panoptic.PanopticImage) -> None:
    classes = panoptic.semantic_map(split.ids(image.image_id), image.segments, split.categories)
    Image.fromarray(classes).save(os.path.join(output, image.file_name))

  with concurrent.futures.ThreadPoolExecutor() as pool:
    list(tqdm.tqdm(pool.map(write, split.images.values()), total=len(split.images), unit=' images'))


if __name__ == '__main__':
  main()
