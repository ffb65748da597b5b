"""Image files: what is wrong with one."""

import io

import numpy as np
import pytest
from PIL import Image

from input_pipeline import decoding


def jpeg(height=24, width=40, **options) -> bytes:
  pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG', **options)
  return file.getvalue()


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'quality': 30}])
def test_a_whole_jpeg_of_the_annotated_size_is_fine(options):
  assert decoding.check(jpeg(**options), 24, 40) == ''


def test_other_formats_and_grey_images_are_fine():
  for mode, kind in (('RGB', 'PNG'), ('L', 'JPEG'), ('L', 'PNG')):
    file = io.BytesIO()
    Image.new(mode, (40, 24)).save(file, kind)
    assert decoding.check(file.getvalue(), 24, 40) == ''


def test_another_size_is_named():
  assert decoding.check(jpeg(), 40, 24) == 'is 24 x 40 pixels, annotated as 40 x 24'


def test_a_camera_held_upright_may_exchange_height_and_width():
  exif = Image.Exif()
  exif[decoding.ORIENTATION] = 6
  assert decoding.check(jpeg(exif=exif), 40, 24) == ''
  assert decoding.check(jpeg(exif=exif), 24, 40) == ''
  exif[decoding.ORIENTATION] = 3  # upside down
  assert decoding.check(jpeg(exif=exif), 40, 24) == 'is 24 x 40 pixels, annotated as 40 x 24'


@pytest.mark.parametrize('options', [{}, {'progressive': True}])
@pytest.mark.parametrize('lost', [2, 100, 900])
def test_a_jpeg_that_was_cut_off_is_named(lost, options):
  assert 'does not decode' in decoding.check(jpeg(**options)[:-lost], 24, 40)


def test_what_is_no_image_is_named():
  assert decoding.check(b'<html>404</html>', 24, 40) == 'is not an image'
  assert decoding.check(b'', 24, 40) == 'is not an image'
