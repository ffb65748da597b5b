"""Image files: turned upright, read whole, or refused with the reason."""

import io
import tracemalloc
import zlib

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
  assert decoding.check(b'<html>404</html>', 24, 40).startswith('is not an image')
  assert decoding.check(b'', 24, 40) == 'is empty'


UPRIGHT = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10  # grey levels, all different
STORED = {  # pixels of a file that are upright after the turn of each EXIF orientation
  1: UPRIGHT,
  2: UPRIGHT[:, ::-1],
  3: UPRIGHT[::-1, ::-1],
  4: UPRIGHT[::-1],
  5: UPRIGHT.T,
  6: np.rot90(UPRIGHT),
  7: UPRIGHT[::-1, ::-1].T,
  8: np.rot90(UPRIGHT, -1),
}


def saved(pixels, kind='PNG', **options) -> bytes:
  file = io.BytesIO()
  image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
  image.save(file, kind, **options)
  return file.getvalue()


def turned(orientation, kind) -> bytes:
  """A file whose pixels are upright after they are turned."""
  exif = Image.Exif()
  exif[decoding.ORIENTATION] = orientation
  if kind == 'TIFF':
    return saved(STORED[orientation], kind, tiffinfo={decoding.ORIENTATION: orientation})
  options = {'lossless': True} if kind == 'WEBP' else {}
  return saved(Image.fromarray(np.ascontiguousarray(STORED[orientation])).convert('RGB'), kind, exif=exif, **options)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'WEBP', 'JPEG', 'MPO'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_images_are_turned_upright(orientation, kind):
  encoded = turned(orientation, kind)
  pixels = np.asarray(decoding.decode(encoded, 'x'))[..., 0]
  exact = 0 if kind in ('PNG', 'TIFF', 'WEBP') else 60  # JPEG averages neighbours
  assert pixels.shape == (4, 6) and np.abs(pixels.astype(int) - UPRIGHT).max() <= exact
  assert decoding.upright_size(io.BytesIO(encoded), 'x') == (4, 6)
  assert decoding.check(encoded, 4, 6) == ''


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_images_that_were_annotated_as_stored_stay_so(orientation, kind):
  encoded = turned(orientation, kind)
  pixels = np.asarray(decoding.decode(encoded, 'x', annotated_size=(6, 4)))[..., 0]
  np.testing.assert_array_equal(pixels, STORED[orientation])
  assert decoding.check(encoded, 6, 4) == ''


def damaged_exif() -> dict[str, bytes]:
  exif = Image.Exif()
  exif[decoding.ORIENTATION] = 3
  whole = exif.tobytes()
  cut, header = whole[:15], whole[:6] + b'XX' + whole[8:]
  loop = whole[:-4] + (8).to_bytes(4, 'little')  # the next directory is this one
  return {
    f'{kind}, {name}': saved(Image.new('RGB', (6, 4), 'red'), kind, exif=broken)
    for kind in ('JPEG', 'PNG', 'WEBP')
    for name, broken in (('cut', cut), ('header', header), ('loop', loop))
  }


@pytest.mark.parametrize('encoded', damaged_exif().values(), ids=damaged_exif().keys())
def test_damaged_exif_data_do_not_cost_the_image(encoded):
  assert decoding.check(encoded, 4, 6) == ''
  assert decoding.decode(encoded, 'x').size == (6, 4)
  assert decoding.upright_size(io.BytesIO(encoded), 'x') == (4, 6)


def test_an_image_with_damaged_exif_data_is_used_as_stored_and_named_once(caplog):
  encoded = saved(STORED[6], exif=b'Exif\0\0XX*\0\x08\0\0\0')
  for _ in range(3):
    np.testing.assert_array_equal(np.asarray(decoding.decode(encoded, 'shot.png'))[..., 0], STORED[6])
  assert caplog.text.count('shot.png: its EXIF data are damaged') == 1


@pytest.mark.parametrize('value', [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(value):
  exif = Image.Exif()
  exif[decoding.ORIENTATION] = value
  encoded = saved(UPRIGHT, exif=exif)
  assert decoding.decode(encoded, 'x').size == (6, 4)
  assert decoding.upright_size(io.BytesIO(encoded), 'x') == (4, 6)
  assert decoding.check(encoded, 4, 6) == '' != decoding.check(encoded, 6, 4)


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP', 'TIFF', 'MPO'])
def test_of_several_images_in_a_file_the_first_is_used(kind):
  pages = [Image.new('RGB', (6, 4), colour) for colour in ('red', 'lime', 'blue')]
  encoded = saved(pages[0], kind, save_all=True, append_images=pages[1:])
  assert Image.open(io.BytesIO(encoded)).n_frames == 3
  assert decoding.check(encoded, 4, 6) == ''
  red = np.asarray(decoding.decode(encoded, 'x')).astype(int)
  assert np.abs(red - (255, 0, 0)).max() <= 5


def test_a_thumbnail_is_not_taken_for_the_image_that_follows():
  pages = [Image.new('L', (6, 4)), Image.new('L', (60, 40))]
  encoded = saved(pages[0], 'TIFF', save_all=True, append_images=pages[1:], tiffinfo={254: 1})
  assert 'thumbnail' in decoding.check(encoded, 4, 6)
  assert decoding.check(saved(pages[0], 'TIFF', tiffinfo={254: 1}), 4, 6) == ''  # alone it is the image


def test_an_image_of_too_many_pixels_is_refused_with_its_size_and_the_limit(monkeypatch):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
  assert decoding.check(saved(np.zeros((4, 5), np.uint8)), 4, 5) == ''  # twice as many: without a warning
  for kind in ('PNG', 'JPEG', 'TIFF', 'GIF', 'WEBP', 'BMP'):
    encoded = saved(Image.new('L', (7, 3)), kind)
    assert 'too large to be read (Image size (21 pixels) exceeds limit of 20 pixels)' in decoding.check(encoded, 3, 7)
    with pytest.raises(ValueError, match=r'cannot decode image slide\.tif: it is too large'):
      decoding.decode(encoded, 'slide.tif')


def test_a_gigapixel_image_takes_no_memory():
  header = bytearray(saved(np.zeros((4, 6), np.uint8)))
  header[16:24] = (40_000).to_bytes(4, 'big') * 2  # width and height; the checksum is computed anew
  header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, 'big')
  tracemalloc.start()
  try:
    assert '1600000000 pixels' in decoding.check(bytes(header), 40_000, 40_000)
    assert tracemalloc.get_traced_memory()[1] < 10e6
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'JPEG2000', 'PPM'])
@pytest.mark.parametrize('share', [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_refused_by_check_and_decode(kind, share):
  encoded = saved(np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8), kind)
  cut = encoded[: int(share * len(encoded))]
  assert decoding.check(cut, 24, 40).startswith(('does not decode', 'is not an image'))
  with pytest.raises(ValueError, match='cannot decode image photo: it (does not decode|is not an image)'):
    decoding.decode(cut, 'photo')


def test_a_file_that_is_damaged_in_its_middle_is_refused():
  encoded = bytearray(saved(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)))
  second = encoded.index(b'IDAT', encoded.index(b'IDAT') + 4)
  encoded[second] = 0xCF  # no name of a part of a PNG
  assert decoding.check(bytes(encoded), 200, 200).startswith('does not decode: broken PNG file')


def test_a_drawing_is_refused_before_another_program_is_started():
  assert 'is a drawing (EPS)' in decoding.check(saved(Image.new('RGB', (6, 4)), 'EPS'), 4, 6)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'JPEG2000', 'PPM', 'MPO'])
def test_damaged_bytes_give_an_image_or_a_reason_and_nothing_else(kind):
  stream = np.random.default_rng(7)
  exif = {'exif': some_exif()} if kind in ('JPEG', 'PNG', 'WEBP', 'MPO') else {}
  whole = np.frombuffer(saved(stream.integers(0, 255, (24, 40, 3), dtype=np.uint8), kind, **exif), np.uint8)
  for _ in range(60):
    damaged = whole.copy()
    places = stream.integers(0, min(len(whole), 400), stream.integers(1, 6))
    damaged[places] = stream.integers(0, 256, len(places))
    encoded = damaged.tobytes()
    try:
      size = decoding.decode(encoded, 'x').size[::-1]
    except ValueError as error:
      assert str(error).startswith('cannot decode image x: it ')
      assert decoding.check(encoded, 24, 40)
    else:
      assert decoding.check(encoded, *size) == ''


def some_exif() -> Image.Exif:
  exif = Image.Exif()
  exif[decoding.ORIENTATION] = 6
  exif[271] = 'a camera'
  return exif
