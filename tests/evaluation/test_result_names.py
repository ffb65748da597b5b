"""Names of result files."""

import os

import pytest

from jaxdet.evaluation.result_names import result_names


def test_an_image_gives_its_name():
  assert result_names(['a/1.jpg', '/b/two words.x.PNG', '.hidden.png']) == ['1', 'two words.x', '.hidden']


def test_images_of_one_name_get_their_positions():
  assert result_names(['a/1.jpg', 'b/1.jpg', '2.jpg', '1.png']) == ['1_0', '1_1', '2', '1_3']


def test_no_two_names_are_alike_on_any_file_system():
  paths = ['a/1.jpg', 'b/1.jpg', '1_0.jpg', '1_1_.jpg', 'A.jpg', 'a.jpg', 'ü.jpg', 'u\u0308.jpg']  # ü in two ways
  names = result_names(paths)
  assert names[2:4] == ['1_0', '1_1_'] and len({name.lower() for name in names}) == len(paths)
  assert names[6] == 'ü_6' and names[7] == 'u\u0308_7'


@pytest.mark.parametrize('letter', ['x', 'ü', '猫', '\udce9'])  # of 1, 2, 3 bytes, and a byte that is not UTF-8
def test_long_names_are_cut_and_stay_different(letter):
  width = len(os.fsencode(letter))
  long = letter * (250 // width)
  names = result_names([f'{long}.jpg', f'{long}{letter}.jpg', f'b/{long}.jpg', 'short.jpg'])
  assert len(set(names)) == 4 and names[3] == 'short'
  for name in names:
    assert len(os.fsencode(f'{name}_detections.jpg')) <= 255
  assert names[0].startswith(letter * 50)


def test_a_name_that_just_fits_is_kept():
  assert result_names(['x' * 240 + '.jpg', 'y' * 241 + '.jpg'])[0] == 'x' * 240
