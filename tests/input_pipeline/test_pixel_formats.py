"""Every pixel format becomes RGB, or is refused by name: no grey level is clipped in silence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from input_pipeline import decoding

RAMP = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (48, 1))
LEVELS = (RAMP >> 8).astype(np.uint8)
RGB = np.stack([LEVELS, LEVELS[:, ::-1], np.full_like(LEVELS, 90)], axis=-1)


def saved(image, kind, **options) -> bytes:
  file = io.BytesIO()
  image = image if isinstance(image, Image.Image) else Image.fromarray(image)
  image.save(file, kind, **options)
  return file.getvalue()


def decoded(encoded):
  """Pixels of a file that the check accepts too."""
  pixels = np.asarray(decoding.decode(encoded, 'x'))
  assert decoding.check(encoded, *pixels.shape[:2]) == ''
  assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
  return pixels


GREY16 = {
  'png': saved(RAMP, 'PNG'),
  'tiff': saved(RAMP, 'TIFF'),
  'tiff, big endian': saved(RAMP.astype('>u2'), 'TIFF'),
  'tiff, compressed': saved(RAMP, 'TIFF', compression='tiff_lzw'),
  'tiff, compressed, big endian': saved(RAMP.astype('>u2'), 'TIFF', compression='tiff_lzw'),
  'jpeg 2000': saved(RAMP, 'JPEG2000'),
  'pgm': b'P5 64 48 65535\n' + RAMP.astype('>u2').tobytes(),
  'pgm of 12 bits': b'P5 64 48 4095\n' + (RAMP >> 4).astype('>u2').tobytes(),
}


@pytest.mark.parametrize('encoded', GREY16.values(), ids=GREY16.keys())
def test_grey_levels_of_16_bits_are_scaled_by_their_range(encoded):
  pixels = decoded(encoded)
  assert np.abs(pixels.astype(int) - LEVELS[..., None]).max() <= 1  # PGM is rounded, the others cut


def test_a_tiff_whose_zero_is_white_is_inverted_at_16_bits_as_at_8():
  for levels in (RAMP, LEVELS):
    encoded = bytearray(saved(levels, 'TIFF', tiffinfo={262: 1}))
    tag = encoded.index(b'\x06\x01\x03\x00\x01\x00\x00\x00\x01\x00')  # photometric, short, one value: 1
    encoded[tag + 8] = 0
    np.testing.assert_array_equal(decoded(bytes(encoded))[..., 0], 255 - LEVELS)


def test_a_tiff_of_12_bits_is_scaled_by_its_own_range():
  pairs = (RAMP >> 4).astype(np.uint16).reshape(-1, 2)
  packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=-1)
  tags = {256: 64, 257: 48, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 48, 279: packed.size}
  entries = b''.join(entry(tag, value) for tag, value in tags.items())
  head = b'II*\0' + (8 + packed.size).to_bytes(4, 'little')
  encoded = head + packed.astype(np.uint8).tobytes() + len(tags).to_bytes(2, 'little') + entries + bytes(4)
  np.testing.assert_array_equal(decoded(encoded)[..., 0], LEVELS)


def entry(tag: int, value: int) -> bytes:
  """A TIFF tag with one long number, little-endian."""
  return struct.pack('<HHII', tag, 4, 1, value)


def png16(channels: int) -> bytes:
  """A PNG of 16 bits a channel, which Pillow cannot write: 2, grey and alpha; 3, RGB; 4, with alpha."""
  deep = np.concatenate([RGB, LEVELS[..., None]], axis=-1)[..., :channels].astype('>u2') * 257
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in deep)

  def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

  header = struct.pack('>IIBBBBB', 64, 48, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
  signature = b'\x89PNG\r\n\x1a\n'
  return signature + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def test_colours_of_16_bits_are_scaled_by_their_range():
  for channels in (3, 4):
    np.testing.assert_array_equal(decoded(png16(channels)), RGB)
  np.testing.assert_array_equal(decoded(png16(2)), np.repeat(RGB[..., :1], 3, axis=-1))  # grey and alpha
  ppm = b'P6 64 48 65535\n' + (RGB.astype('>u2') * 257).astype('>u2').tobytes()
  np.testing.assert_array_equal(decoded(ppm), RGB)


NO_RANGE = {
  'float tiff': saved(RAMP.astype(np.float32), 'TIFF'),
  'float tiff of 0 to 1': saved((RAMP / 65535).astype(np.float32), 'TIFF'),
  'float tiff with nan': saved(np.full((48, 64), np.nan, np.float32), 'TIFF'),
  'pfm': b'Pf\n64 48\n-1.0\n' + RAMP.astype('<f4').tobytes(),
  '32-bit tiff': saved(RAMP.astype(np.int32), 'TIFF'),
}


@pytest.mark.parametrize('encoded', NO_RANGE.values(), ids=NO_RANGE.keys())
def test_levels_without_a_known_range_are_refused(encoded):
  assert 'whose range is not known' in decoding.check(encoded, 48, 64)
  with pytest.raises(ValueError, match=r'cannot decode image scan\.tif: it has .* whose range is not known'):
    decoding.decode(encoded, 'scan.tif')
  assert decoding.check_map(encoded, 48, 64) == ''  # numbers need no range


def test_bits_become_black_and_white():
  bits = LEVELS > 127
  np.testing.assert_array_equal(decoded(saved(bits, 'PNG')), np.repeat(bits[..., None] * np.uint8(255), 3, axis=-1))


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'WEBP'])
def test_alpha_is_left_out(kind):
  rgba = np.concatenate([RGB, LEVELS[..., None]], axis=-1)
  options = {'lossless': True, 'exact': True} if kind == 'WEBP' else {}
  np.testing.assert_array_equal(decoded(saved(rgba, kind, **options)), RGB)


@pytest.mark.parametrize('transparency', [None, 5, bytes(range(0, 256, 16))])
def test_a_palette_is_replaced_by_its_colours_whatever_is_transparent(transparency):
  image = Image.fromarray(RGB).quantize(16)
  options = {} if transparency is None else {'transparency': transparency}
  for kind in ('PNG', 'GIF'):
    if kind == 'PNG' or not isinstance(transparency, bytes):
      np.testing.assert_array_equal(decoded(saved(image, kind, **options)), np.asarray(image.convert('RGB')))


def test_cmyk_is_converted_as_pillow_does_and_an_inverted_jpeg_is_not_negative():
  red = Image.new('CMYK', (64, 48), (0, 255, 255, 0))
  for kind in ('JPEG', 'TIFF'):  # Pillow writes JPEGs inverted, with Adobe's marker
    encoded = saved(red, kind)
    assert kind == 'TIFF' or b'Adobe' in encoded
    assert np.abs(decoded(encoded).astype(int) - (255, 0, 0)).max() <= 2


def test_lab_is_converted_to_srgb():
  grey = Image.new('LAB', (64, 48), (137, 128, 128))  # L* of sRGB's 128
  assert np.abs(decoded(saved(grey, 'TIFF')).astype(int) - 128).max() <= 3


def test_grey_levels_that_are_multiplied_by_alpha_are_divided_by_it():
  half = np.stack([LEVELS // 2, np.full_like(LEVELS, 128)], axis=-1)
  encoded = bytearray(saved(Image.fromarray(half, 'LA'), 'TIFF'))
  extra = encoded.index(struct.pack('<HHIH', 338, 3, 1, 2))  # extra samples: 2, alpha; 1, multiplied
  encoded[extra + 8] = 1
  assert np.abs(decoded(bytes(encoded))[..., 0].astype(int) - LEVELS).max() <= 3


def test_a_colour_profile_changes_nothing():
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB')).tobytes()
  np.testing.assert_array_equal(decoded(saved(RGB, 'PNG', icc_profile=profile)), RGB)
