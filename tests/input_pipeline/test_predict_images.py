import logging
import os

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import ExifTags, Image

from input_pipeline.predict_images import image_batches, read_image

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
  good = write(tmp_path / 'good.jpg', 30, 20)
  os.symlink(tmp_path / 'gone', tmp_path / 'dead.jpg')
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'text.jpg').write_bytes(b'no image at all')
  (tmp_path / 'empty.jpg').touch()
  Image.fromarray(np.zeros((30, 20), np.float32)).save(tmp_path / 'float.tif')
  (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'good.jpg').read_bytes()[:-50])
  bad = ['missing.jpg', 'dead.jpg', 'pipe.jpg', 'text.jpg', 'empty.jpg', 'float.tif', 'cut.jpg']
  files = [str(tmp_path / name) for name in bad[:4]] + [good] + [str(tmp_path / name) for name in bad[4:]]
  with caplog.at_level(logging.ERROR, logger='absl'):
    (batch,) = image_batches(files, CONFIG)
  np.testing.assert_array_equal(batch.valid, [True, False])  # the header of one more could be read
  assert batch.index[0] == 4
  errors = [record.getMessage() for record in caplog.records]
  assert len(errors) == len(bad)
  for name in bad:
    assert sum(str(tmp_path / name) in error for error in errors) == 1


def test_without_a_readable_file_there_are_no_batches(tmp_path):
  assert list(image_batches([str(tmp_path / 'missing.jpg')], CONFIG)) == []


@pytest.mark.parametrize('size', [(1, 1), (50, 10_000), (1, 3000), (3000, 1)])
def test_odd_shapes_fit_on_the_canvas(tmp_path, size):
  (batch,) = image_batches([write(tmp_path / 'odd.png', *size, colour=7)], CONFIG)
  assert tuple(batch.original_size[0]) == size and batch.valid[0]
  height, width = batch.image_size[0]
  assert 1 <= height <= batch.image.shape[1] and 1 <= width <= batch.image.shape[2]
  assert (batch.image[0, :height, :width] == (7, 200, 0)).all()


def test_images_are_read_for_drawing_as_for_the_detector(tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 5
  Image.fromarray(np.tile(np.linspace(0, 65535, 30, dtype=np.uint16), (20, 1))).save(tmp_path / 'x.png', exif=exif)
  picture = read_image(str(tmp_path / 'x.png'))
  (batch,) = image_batches([str(tmp_path / 'x.png')], CONFIG)
  assert (picture.height, picture.width) == tuple(batch.original_size[0]) == (30, 20)
  height, width = batch.image_size[0]
  resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
  np.testing.assert_array_equal(batch.image[0, :height, :width], resized)
  assert (np.diff(resized[:, 0, 0].astype(int)) > 0).all()  # from dark to bright, downwards


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
