"""The source of a split's records: what decides their content, and its fingerprint.

The annotations count by their content, image files by their paths, sizes and times. Records whose fingerprints differ
lie in different folders.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from input_pipeline import records
from input_pipeline.annotation_identity import Identity, identify
from input_pipeline.fields.field import Companion
from input_pipeline.image_files import ImageFiles

VERSION = 3  # of the records' format, and of the rules by which objects are dropped

# Parts of a fingerprint, in the words of a message.
PARTS = {
  'version': 'the format of records',
  'root': 'the folder of images',
  'annotations': 'the annotations',
  'companions': 'the files beside the images',
  'images': 'the image files',
}


@dataclasses.dataclass(frozen=True)
class Source:
  """Annotations, images and their companion files."""

  annotations: Identity
  image_root: str
  files: ImageFiles
  shards: tuple[str, ...]  # digests of the files of each shard
  parts: Mapping[str, Any]  # what the fingerprint is made of, by the names of PARTS

  @property
  def fingerprint(self) -> str:
    return hashlib.sha256(json.dumps(self.parts).encode()).hexdigest()[:16]

  def changes(self, manifest: Mapping) -> list[str]:
    """Describes what differs from the source of a manifest's records; [] if they can be used.

    Records with more companion files than this source has can be used.
    """
    found = manifest['source']
    if found.get('version') != self.parts['version']:
      return [PARTS['version']]
    same = {part: found[part] == self.parts[part] for part in PARTS}
    same['companions'] = self.parts['companions'].items() <= found['companions'].items()
    return [words for part, words in PARTS.items() if not same[part]]


def open_source(annotation_path: str, image_root: str, folder: str, companions: Sequence[Companion] = ()) -> Source:
  """Finds the files of a split's records and identifies them.

  Args:
    folder: of the records; it keeps what is known of the annotations.

  Raises:
    FileNotFoundError: there is no annotation file.
    ValueError: the annotations are not valid.
    CannotWrite: the annotations must be read, and `folder` is not writable.
  """
  annotations = identify(annotation_path, folder)
  files = ImageFiles(image_root, annotations.file_names, companions)
  digests = files.digests(records.shard_positions(len(annotations.file_names)))
  parts = {
    'version': f'{VERSION}, shards of {records.IMAGES_PER_SHARD}',
    # Relative, so that a data folder may be moved together with its records.
    'root': os.path.relpath(image_root, folder),
    'annotations': annotations.sha256,
    'companions': digests.companions,
    'images': digests.images,
  }
  return Source(annotations, image_root, files, digests.shards, parts)
