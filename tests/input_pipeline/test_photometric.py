"""Random colours, against Python's own HSV and by their frequencies."""

import colorsys

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.parts import datasets
from input_pipeline import photometric
from input_pipeline.sampling import random_stream

RNG = np.random.default_rng(0)
STILL = {'brightness': 0.0, 'contrast': (1.0, 1.0), 'saturation': (1.0, 1.0), 'hue': 0.0}


def settings(**changes) -> ConfigDict:
  return ConfigDict({**datasets.data('shapes', '', (), ())['photometric'], **changes})


def distorted(image, number: int, **changes) -> np.ndarray:
  image = image.copy()
  photometric.distort(image, settings(**changes), random_stream(0, 4, number))
  return image


@pytest.mark.parametrize('degrees, saturation', [(0, 1), (18, 1), (-18, 0.5), (10, 1.5), (-40, 3)])
def test_hue_and_saturation_are_those_of_hsv(degrees, saturation):
  colours = RNG.random((6, 7, 3)).astype(np.float32)
  colours[0, 0], colours[0, 1], colours[0, 2] = 0, 0.5, [1, 0, 0]
  found = photometric.turned(255 * colours, degrees, saturation)
  for pixel, made in zip(colours.reshape(-1, 3).tolist(), found.reshape(-1, 3), strict=True):
    hue, chroma, value = colorsys.rgb_to_hsv(*pixel)
    expected = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, min(saturation * chroma, 1), value)
    np.testing.assert_allclose(made, 255 * np.array(expected), atol=0.02)


def test_brightness_is_added_to_half_of_the_images_within_its_range():
  image = np.full((4, 4, 3), 100, np.uint8)
  added = np.array([distorted(image, n, **{**STILL, 'brightness': 32.0})[0, 0, 0] for n in range(1000)]) - 100.0
  assert abs((added == 0).mean() - 0.5) < 0.06 and -32 <= added.min() < -28 and 28 < added.max() <= 32


def test_contrast_multiplies_half_of_the_images():
  image = np.full((4, 4, 3), 100, np.uint8)
  made = np.array([distorted(image, n, **{**STILL, 'contrast': (0.5, 1.5)})[0, 0, 0] for n in range(1000)])
  assert abs((made == 100).mean() - 0.5) < 0.06 and 50 <= made.min() < 54 and 146 < made.max() <= 150


def test_channels_change_places_in_half_of_the_images():
  image = np.tile(np.array([10, 20, 30], np.uint8), (2, 2, 1))
  orders = [tuple(distorted(image, n, **STILL)[0, 0].tolist()) for n in range(1200)]
  assert len(set(orders)) == 6
  assert abs(np.mean([order == (10, 20, 30) for order in orders]) - 7 / 12) < 0.06


def test_colours_stay_colours():
  image = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
  image[0], image[1] = 0, 255
  bright = {'brightness': 200.0, 'contrast': (1.5, 1.5), 'saturation': (1.5, 1.5), 'hue': 18.0}
  made = [distorted(image, n, **bright) for n in range(20)]
  assert all(each.dtype == np.uint8 for each in made)
  assert any((each[1] == 255).all() for each in made)  # white that becomes brighter does not turn over to black
  assert not any((each[1] < 55).any() for each in made)


def test_a_number_draws_the_same_colours_again_and_another_others():
  image = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
  assert (distorted(image, 3) == distorted(image, 3)).all()
  assert len({distorted(image, n).tobytes() for n in range(20)}) > 15
