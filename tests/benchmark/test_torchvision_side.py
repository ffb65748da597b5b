"""The processes of torchvision, with interpreters that only say what one would."""

import json
import sys

import numpy as np
import pytest
from small_workload import small_workload

from jaxdet.benchmark import torchvision_side
from jaxdet.benchmark.counterparts import Counterpart

SIDE = Counterpart('maskrcnn_resnet50_fpn', 6, 1, {'box_detections_per_img': 5}, 0, 40, 1, 'frozen_bn', {'name': 'sgd'})


def interpreter(folder, body: str) -> str:
  """A program in the place of an interpreter."""
  path = folder / 'python'
  path.write_text(f'#!{sys.executable}\nimport json, sys\n{body}\n')
  path.chmod(0o755)
  return str(path)


def test_the_program_gets_the_batch_and_the_model_and_its_last_line_counts(tmp_path):
  body = f"""
import shutil
shutil.copy(sys.argv[2], {str(tmp_path / 'seen.npz')!r})
print('a warning')
print(json.dumps({{'step_s': 0.5, 'spec': json.loads(sys.argv[3])}}))
"""
  python = interpreter(tmp_path, body)
  workload = small_workload()
  found = torchvision_side.measure(workload, SIDE, 'train', 'amp+compile', python)
  assert found['step_s'] == 0.5
  spec = found['spec']
  assert (spec['task'], spec['mode'], spec['repeats'], spec['num_classes']) == ('train', 'amp+compile', 2, 6)
  seen, batch = np.load(tmp_path / 'seen.npz'), workload.batch()
  np.testing.assert_array_equal(seen['images'], batch.image)
  np.testing.assert_array_equal(seen['boxes'], batch.objects.boxes[:, :3])
  masks = np.unpackbits(seen['masks'], axis=-1, count=96)
  assert masks.shape == (2, 3, 64, 96)
  y, x = np.nonzero(masks[1, 2])
  np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], batch.objects.boxes[1, 2], atol=1.5)


def test_a_process_that_fails_is_a_record_with_its_last_words(tmp_path):
  python = interpreter(tmp_path, "sys.exit('RuntimeError: no compiler')")
  assert torchvision_side.measure(small_workload(), SIDE, 'train', 'compile', python) == {
    'error': 'RuntimeError: no compiler'
  }


def test_a_missing_torch_says_what_to_install(tmp_path):
  python = interpreter(tmp_path, 'sys.exit("ModuleNotFoundError: No module named \'torch\'")')
  with pytest.raises(ValueError, match="No module named 'torch'.: pip install torch torchvision, or name an inter"):
    torchvision_side.find_torch(python)
  with pytest.raises(ValueError, match='--torch_python /nowhere/python is no interpreter: No such file'):
    torchvision_side.find_torch('/nowhere/python')
  assert torchvision_side.find_torch(interpreter(tmp_path, '')) == str(tmp_path / 'python')


def test_modes_can_be_joined_and_unknown_ones_are_an_error():
  torchvision_side.check_modes(['eager', 'amp+channels_last+compile'])
  with pytest.raises(ValueError, match="unknown mode 'fp8' of torchvision in --modes: choose of eager, channels_last"):
    torchvision_side.check_modes(['amp+fp8'])


def test_the_program_itself_is_json_in_and_json_out():
  assert json.loads(json.dumps(SIDE.settings)) == SIDE.settings and torchvision_side.PROGRAM.is_file()
