"""Writes the ids of LVIS v1's validation images that are from COCO's val2017, for `eval.image_ids`.

  python scripts/minival.py ANNOTATIONS --output minival.json

The source of an image is its `coco_url`. The rest of LVIS's validation split is from COCO's train2017, on which other
detectors may have been trained.
"""

import argparse
import json
import pathlib
import sys


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('annotations', help='lvis_v1_val.json')
  parser.add_argument('--output', required=True, help='a JSON list of ids')
  arguments = parser.parse_args()

  from input_pipeline.image_subset import coco_val_ids

  ids = coco_val_ids(arguments.annotations)
  pathlib.Path(arguments.output).write_text(json.dumps(ids) + '\n')
  print(f'{len(ids)} images: {arguments.output}')


if __name__ == '__main__':
  sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
  main()
