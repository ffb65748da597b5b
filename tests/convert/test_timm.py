"""timm's own ResNets and ours with their weights make the same features."""

import jax
import numpy as np
import pytest

from jaxdet.convert import frameworks, state_files
from jaxdet.convert.rules import import_state
from jaxdet.models.build import build_detector
from upstream_case import lvis_mask_rcnn

torch = pytest.importorskip('torch')
timm = pytest.importorskip('timm', exc_type=ImportError)


@pytest.mark.parametrize(
  'name, settings',
  [
    ('resnet18', {'depth': 18}),
    ('resnet50', {}),
    pytest.param('resnext50_32x4d', {'groups': 32, 'group_width': 4}, marks=pytest.mark.slow),
  ],
)
def test_features(name, settings, tmp_path):
  torch.manual_seed(0)
  network = timm.create_model(name, pretrained=False).eval()
  for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      torch.nn.init.uniform_(module.weight, 0.3, 0.6)
      torch.nn.init.normal_(module.running_mean, 0, 0.1)
      torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
  path = str(tmp_path / 'weights.pth')
  torch.save(network.state_dict(), path)

  model = lvis_mask_rcnn()
  model.num_classes, model.dtype = 1, 'float32'
  model.backbone.update(settings)
  source = frameworks.open_source('timm', state_files.read_state(path), model)
  loaded, report = import_state(source.state, frameworks.shapes(model), source.rules)
  assert not report.missing + report.wrong_shape and set(report.unused) == {'fc.weight', 'fc.bias'}

  images = np.random.default_rng(0).normal(size=(1, 96, 128, 3)).astype(np.float32)
  variables = {kind: value['backbone'] for kind, value in loaded.items() if 'backbone' in value}
  backbone = build_detector(model, 1).networks['backbone']
  with jax.default_matmul_precision('highest'):
    features = jax.jit(lambda x: backbone.apply(variables, x, train=False))(images)
  with torch.no_grad():
    expected = network.forward_intermediates(torch.from_numpy(images.transpose(0, 3, 1, 2)), intermediates_only=True)
  for level, wanted in zip((2, 3, 4, 5), expected[1:], strict=True):
    wanted = wanted.numpy().transpose(0, 2, 3, 1)
    error = np.abs(features[level] - wanted).max() / np.sqrt(np.square(wanted).mean())
    assert error < 1e-4, level
