"""A detector as one program: the same detections, for every platform, without jaxdet's code."""

import functools
import json
import pathlib
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline.predict_images import image_batches
from jaxdet import conversion_commands
from jaxdet.convert import stablehlo
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.models.initialize import initialize
from jaxdet.ops import roi_align
from jaxdet.structures import Category
from jaxdet.training.checkpoint import Checkpoints, Metadata
from small_detector import CLASSES, make_batch, small_config

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'run_stablehlo.py'


@functools.cache
def detector_and_variables():
  detector = build_detector(small_config().model, CLASSES)
  # It compiles in a fifth of the time.
  init = jax.jit(functools.partial(initialize, detector), compiler_options={'xla_backend_optimization_level': 0})
  return detector, jax.device_get(init(jax.random.key(0)))


@pytest.mark.slow
def test_the_program_gives_the_same_detections():
  pytest.importorskip('flatbuffers')
  detector, variables = detector_and_variables()
  batch = make_batch()
  content = stablehlo.export_predict(detector, variables, batch_size=2, canvas=(64, 96))
  program = jax.export.deserialize(bytearray(content))
  assert program.platforms == ('cpu', 'cuda', 'tpu')
  found = program.call(batch.image, batch.image_size)
  expected = jax.jit(functools.partial(forward.predict, detector))(variables, batch)
  assert expected.valid.sum() > 10
  assert found.keys() == {'boxes', 'scores', 'labels', 'valid', 'masks', 'incomplete'}
  # Two compilations may fuse, and so round, otherwise.
  wanted = {**vars(expected), 'masks': expected.masks.probabilities}
  for name, value in found.items():
    np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)


class Marker:
  """A form of RoIAlign that gives one number."""

  def __init__(self, value: float):
    self.value = value

  def pool(self, features, strides, rois, levels, sampling):
    return jax.numpy.full((*rois.shape[:2], *sampling.bins, features[0].shape[-1]), self.value)


def test_each_platform_has_its_form_of_roi_align(monkeypatch):
  monkeypatch.setattr(roi_align, 'roi_align_window', Marker(23.5))
  monkeypatch.setattr(roi_align, 'roi_align_matmul', Marker(42.5))

  def pool(features, rois):
    return roi_align.roi_align(features, rois, stride=4, output_size=2)

  arguments = np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 5, 4), np.float32)
  assert np.all(pool(*arguments) == 23.5)
  traced = jax.jit(pool).trace(*arguments)
  for platform, number in {'cpu': '2.350', 'cuda': '4.250', 'tpu': '4.250'}.items():
    assert f'dense<{number}' in traced.lower(lowering_platforms=(platform,)).as_text(), platform
  both = traced.lower(lowering_platforms=('cpu', 'tpu')).as_text()
  assert 'dense<2.350' in both and 'dense<4.250' in both


def test_a_canvas():
  assert stablehlo.parse_canvas('800x1344') == (800, 1344)


@pytest.mark.parametrize('canvas', ['800', '800x', '30x40', '0x32', '-64x64'])
def test_a_canvas_is_height_and_width_in_whole_strides(canvas):
  with pytest.raises(ValueError, match='give HEIGHTxWIDTH in multiples of 32 pixels'):
    stablehlo.parse_canvas(canvas)


@pytest.mark.slow
def test_a_script_without_jaxdet_runs_it(tmp_path):
  pytest.importorskip('flatbuffers')
  detector, variables = detector_and_variables()
  config = ConfigDict(small_config().to_dict())
  config.model.num_classes = CLASSES
  config.eval.batch_size = 1
  categories = tuple(Category(7 * i + 1, f'thing {i}') for i in range(CLASSES))
  checkpoints = Checkpoints(str(tmp_path / 'run' / 'checkpoints'), keep=1)
  checkpoints.save_variables(variables, Metadata(config.lock(), categories))
  checkpoints.close()
  photo, output = tmp_path / 'photo.png', tmp_path / 'out' / 'detector.stablehlo'
  Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)).save(photo)

  conversion_commands.export_program(str(tmp_path / 'run'), str(output), batch_size=1, canvas=None)
  assert json.loads((tmp_path / 'out' / 'detector.stablehlo.json').read_text())['category_ids'] == [1, 8, 15, 22, 29]
  code = f"import sys; sys.modules['jaxdet'] = None; sys.argv[1:] = {[str(output), str(photo)]}; "
  code += f'import runpy; runpy.run_path({str(SCRIPT)!r})'
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
  assert done.returncode == 0, done.stderr

  (batch,) = image_batches([str(photo)], config)
  expected = jax.device_get(jax.jit(functools.partial(forward.predict, detector))(variables, batch))
  lines = [line.rsplit(maxsplit=4) for line in done.stdout.splitlines()]
  assert len(lines) == expected.valid.sum() > 5
  for line, score, label, box in zip(lines, expected.scores[0], expected.labels[0], expected.boxes[0], strict=False):
    number, name = line[0].split(maxsplit=1)
    assert name == f'thing {label}' and float(number) == pytest.approx(score, abs=2e-4)
    np.testing.assert_allclose(np.float64(line[1:]), box * 160 / 128, atol=0.06)
