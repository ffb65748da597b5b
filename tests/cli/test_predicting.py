"""`predict` goes on over files that cannot be read, and says in the end how many."""

import collections
import logging

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from jaxdet.cli.jobs import inference
from jaxdet.structures import Category

Metadata = collections.namedtuple('Metadata', 'config categories')
CONFIG = {
  'model': {},
  'data': {'canvases': ((32, 32),), 'test_canvases': (), 'mask_size': 8},
  'eval': {'batch_size': 2},
}
RESIZE = {'name': 'shortest_edge', 'test_size': 32, 'max_size': 32}


@pytest.fixture
def predict(monkeypatch, tmp_path):
  """Runs the job with a detector that finds nothing; returns the base names of the images that it saw."""
  seen = []

  def fake(config, detector, variables, categories, batches, paths, read_image, outdir):
    del config, detector, variables, categories, outdir
    done = {int(index) for batch in batches for index in batch.index[batch.valid]}
    seen.extend(sorted(read_image(paths[index]) and paths[index].rsplit('/')[-1] for index in done))
    return done

  config = ConfigDict(CONFIG)
  config.data.resize = ConfigDict(RESIZE)
  monkeypatch.setattr(inference, 'load_for_inference', lambda _: ({}, Metadata(config, (Category(7, 'cat'),))))
  monkeypatch.setattr(inference, 'build_detector', lambda *_: None)
  monkeypatch.setattr(inference, 'predict', fake)

  def run(*names):
    inference.predict_images(None, str(tmp_path), [str(tmp_path / name) for name in names], str(tmp_path / 'out'))

  return run, seen


@pytest.fixture
def images(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  for name in ('1.png', '2.png', '3.png'):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(folder / name)
  (folder / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
  (folder / 'empty.jpg').touch()


@pytest.mark.usefixtures('images')
def test_files_found_in_a_folder_that_are_no_images_are_a_warning(predict, caplog):
  run, seen = predict
  with caplog.at_level(logging.INFO, logger='absl'):
    run('photos')
  assert seen == ['1.png', '2.png', '3.png']
  assert 'predictions of 3 images' in caplog.text
  (warning,) = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
  assert warning.startswith('2 of 5 files could not be read') and 'broken.jpg' in warning and 'empty.jpg' in warning


@pytest.mark.usefixtures('images')
@pytest.mark.parametrize('bad', ['broken.jpg', 'empty.jpg', 'missing.jpg'])
def test_a_named_file_that_cannot_be_read_is_an_error_after_the_others_are_done(predict, tmp_path, bad):
  run, seen = predict
  with pytest.raises(ValueError, match=rf'^1 of 3 files could not be read \(reasons above\): .*{bad}$'):
    run(f'photos/{bad}', 'photos/1.png', 'photos/2.png')
  assert seen == ['1.png', '2.png']
  (tmp_path / 'photos' / 'list.txt').write_text(f'3.png\n{bad}\n')
  with pytest.raises(ValueError, match='^1 of 2 files'):
    run('photos/list.txt')
  assert seen[2:] == ['3.png']


@pytest.mark.usefixtures('images')
def test_a_folder_without_one_readable_file_is_an_error(predict, tmp_path):
  run, _ = predict
  for name in ('1.png', '2.png', '3.png'):
    (tmp_path / 'photos' / name).unlink()
  with pytest.raises(ValueError, match='2 of 2 files could not be read'):
    run('photos')
