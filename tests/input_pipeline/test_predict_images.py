import logging

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import ExifTags, Image

from input_pipeline.predict_images import image_batches, list_images

CONFIG = ConfigDict(
  {
    'data': {
      'canvases': ((32, 64), (64, 32)),
      'test_canvases': (),
      'mask_size': 8,
      'resize': {'name': 'shortest_edge', 'sizes': (32,), 'test_size': 32, 'max_size': 60, 'jitter': (1.0, 1.0)},
    },
    'eval': {'batch_size': 2},
  }
)


def write(path, height, width, colour=0, **options):
  Image.new('RGB', (width, height), (colour, 200, 0)).save(path, **options)
  return str(path)


def test_files_folders_and_lists(tmp_path):
  (tmp_path / 'folder' / 'below').mkdir(parents=True)
  second = write(tmp_path / 'folder' / 'b.jpg', 4, 4)
  first = write(tmp_path / 'folder' / 'a.PNG', 4, 4)
  below = write(tmp_path / 'folder' / 'below' / 'c.jpg', 4, 4)
  (tmp_path / 'folder' / 'notes.md').write_text('no image')
  (tmp_path / 'list.txt').write_text('folder/b.jpg\n\n')
  found = list_images([str(tmp_path / 'folder'), str(tmp_path / 'list.txt'), below])
  assert found == (first, second, below, second, below)


def test_what_does_not_exist_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='gone.jpg'):
    list_images([str(tmp_path / 'gone.jpg')])
  with pytest.raises(FileNotFoundError, match='no images in'):
    list_images([str(tmp_path)])


def test_batches_are_prepared_as_for_evaluation(tmp_path):
  files = [
    write(tmp_path / f'{i}.png', *size, colour=i) for i, size in enumerate([(20, 30), (30, 20), (16, 31), (10, 40)])
  ]
  batches = list(image_batches(files, CONFIG))
  assert [batch.image.shape[1:3] for batch in batches] == [(32, 64), (32, 64), (64, 32)]
  assert [batch.index[batch.valid].tolist() for batch in batches] == [[0, 2], [3], [1]]
  np.testing.assert_array_equal(batches[0].original_size, [[20, 30], [16, 31]])
  np.testing.assert_array_equal(batches[0].image_size, [[32, 48], [31, 60]])
  for batch in batches:
    for row in np.flatnonzero(batch.valid):
      height, width = batch.image_size[row]
      assert (batch.image[row, :height, :width] == [batch.index[row], 200, 0]).all()
      assert batch.image[row].astype(int).sum() == height * width * (batch.index[row] + 200)


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path, caplog):
  (tmp_path / 'broken.jpg').write_bytes(b'no image at all')
  files = [write(tmp_path / 'good.jpg', 30, 20), str(tmp_path / 'broken.jpg')]
  with caplog.at_level(logging.ERROR, logger='absl'):
    (batch,) = image_batches(files, CONFIG)
  np.testing.assert_array_equal(batch.valid, [True, False])
  assert 'broken.jpg' in caplog.text


def test_exif_turns_images_and_odd_modes_become_rgb(tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 6
  files = [write(tmp_path / 'turned.jpg', 20, 30, exif=exif)]
  for mode in ('L', 'CMYK', 'P', 'RGBA'):
    files.append(str(tmp_path / f'{mode}.{"jpg" if mode in ("L", "CMYK") else "png"}'))
    Image.new('RGB', (20, 30), (100, 100, 100)).convert(mode).save(files[-1])
  batches = list(image_batches(files, CONFIG))
  assert all(batch.image.shape[1:3] == (64, 32) for batch in batches)
  np.testing.assert_array_equal(batches[0].original_size, [[30, 20], [30, 20]])
  grey = np.concatenate([batch.image[batch.valid, 10, 10] for batch in batches])[1:]
  assert np.abs(grey.astype(int) - 100).max() <= 6
