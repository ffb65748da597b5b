"""The mask IoU head against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdet.models.roi_heads.mask_iou_head import MaskIoUHead
from learned_by_heart import quick_jit


def torch_form(params, features, masks):
  """IoUs of every class from features [N, S, S, C] and mask logits [N, 2 S, 2 S]."""
  torch = pytest.importorskip('torch')
  params = jax.tree.map(np.asarray, params)
  pooled = torch.nn.functional.max_pool2d(torch.tensor(masks).sigmoid()[:, None], 2)
  x = torch.cat([torch.tensor(features.transpose(0, 3, 1, 2)), pooled], 1)
  for name, stride in (('conv0', 1), ('conv1', 2)):
    weight = torch.tensor(params[name]['kernel'].transpose(3, 2, 0, 1))
    x = torch.nn.functional.conv2d(x, weight, torch.tensor(params[name]['bias']), stride, padding=1).relu()
  x = x.permute(0, 2, 3, 1).flatten(1)
  for name in ('fc0', 'fc1'):
    x = (x @ torch.tensor(params[name]['kernel']) + torch.tensor(params[name]['bias'])).relu()
  return (x @ torch.tensor(params['ious']['kernel']) + torch.tensor(params['ious']['bias'])).numpy()


def test_ious_are_torchs_and_labels_choose_among_them():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2, 3, 6, 6, 4)).astype(np.float32)
  masks = rng.normal(size=(2, 3, 12, 12)).astype(np.float32)
  labels = np.array([[0, 4, 2], [1, 1, 3]])
  head = MaskIoUHead(num_classes=5, num_convs=2, conv_channels=6, num_fcs=2, channels=8)
  shapes = jax.eval_shape(head.init, jax.random.key(0), features, masks, labels)['params']
  params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
  assert params['conv0']['kernel'].shape == (3, 3, 5, 6) and params['fc0']['kernel'].shape == (3 * 3 * 6, 8)
  with jax.default_matmul_precision('highest'):
    every, chosen = quick_jit(lambda p: [head.apply({'params': p}, features, masks, x) for x in (None, labels)])(params)
  expected = torch_form(params, features.reshape(-1, 6, 6, 4), masks.reshape(-1, 12, 12)).reshape(2, 3, 5)
  np.testing.assert_allclose(every, expected, rtol=1e-4, atol=1e-3)
  np.testing.assert_array_equal(chosen, np.take_along_axis(every, labels[..., None], -1)[..., 0])
  assert chosen.dtype == jnp.float32
