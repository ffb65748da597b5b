"""torchvision's own Mask R-CNN with exported weights finds what jaxdet finds.

The settings below are the differences between the two programs. One has no setting here: torchvision rounds the
corners of its cell anchors to whole pixels, so that it is given those that are not rounded.
"""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import parity_kit
from jaxdet.cli.jobs.importing import initial_variables
from jaxdet.convert import frameworks, old_torchvision, torch_files
from jaxdet.convert.rules import import_state
from jaxdet.models import forward
from jaxdet.models.build import build_detector
from jaxdet.ops import iou
from jaxdet.ops.anchors import cell_anchors
from jaxdet.structures import Batch, Objects
from upstream_case import lvis_mask_rcnn

torch = pytest.importorskip('torch')
torchvision = pytest.importorskip('torchvision', exc_type=ImportError)

SIZE = (256, 320)  # multiples of 64: torchvision's strides are quotients of sizes, ours powers of two
THRESHOLD = 0.05


def settings() -> ConfigDict:
  """`config.model` of `maskrcnn_resnet50_fpn` with 90 classes, background aside."""
  model = lvis_mask_rcnn()
  model.num_classes = 90
  model.dtype = 'float32'
  # On images from 0 to 1 it has mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225): the same.
  model.proposals.test_proposals.min_size = 1e-3
  model.roi.aligned = False
  model.roi.sampling_ratio = 2
  model.test.update({'score_threshold': THRESHOLD, 'detections': 100, 'pre_nms_topk': 20000})
  return model


def random_weights(model: ConfigDict) -> dict:
  """Initial weights, with heads so loud that scores and boxes differ."""
  variables = initial_variables(ConfigDict({'model': model, 'seed': 0}))
  rng = np.random.default_rng(0)
  for head, layer, deviation in (
    ('rpn_head', 'logits', 0.1),
    ('rpn_head', 'deltas', 0.05),
    ('box_head', 'logits', 0.5),
    ('box_head', 'deltas', 0.3),
    ('mask_head', 'logits', 0.3),
  ):
    kernel = variables['params'][head][layer]['kernel']
    variables['params'][head][layer]['kernel'] = rng.normal(0, deviation, kernel.shape).astype(np.float32)
  return variables


def photograph() -> Image.Image:
  folder = parity_kit.photos() / 'mini_lvis'
  first = json.loads((folder / 'val.json').read_text())['images'][0]
  name = first.get('file_name') or '/'.join(first['coco_url'].split('/')[-2:])
  return Image.open(folder / 'images' / name).convert('RGB').resize(SIZE[::-1])


# What these layers were called before torchvision 0.13, and are in its own COCO weights.
OLD_NAMES = {
  'backbone.fpn.inner_blocks.2.weight': 'backbone.fpn.inner_blocks.2.0.weight',
  'backbone.fpn.layer_blocks.0.bias': 'backbone.fpn.layer_blocks.0.0.bias',
  'rpn.head.conv.weight': 'rpn.head.conv.0.0.weight',
  'roi_heads.mask_head.mask_fcn1.weight': 'roi_heads.mask_head.0.0.weight',
  'roi_heads.mask_head.mask_fcn4.bias': 'roi_heads.mask_head.3.0.bias',
}


def test_old_names_are_read_as_torchvision_reads_them():
  network = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
  state = dict(network.state_dict())  # without the versions that tell torchvision that its names are new
  ours = dict(state)
  for old, new in OLD_NAMES.items():
    ours[old] = state[old] = state.pop(new) + 1
    del ours[new]
  current = old_torchvision.to_current(ours)
  network.load_state_dict(dict(state), strict=True)
  assert current.keys() == network.state_dict().keys()
  assert all(torch.equal(current[name], array) for name, array in network.state_dict().items())


def of_torchvision(path: str, image: Image.Image) -> dict[str, np.ndarray]:
  """Boxes, scores, labels and masks of the regions, before they are pasted."""
  network = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
  network.load_state_dict(torch.load(path, weights_only=True), strict=True)
  network.eval()
  network.transform.min_size, network.transform.max_size = (SIZE[0],), SIZE[1]
  sizes = ((32,), (64,), (128,), (256,), (512,))
  cells = [torch.from_numpy(cell_anchors(size, (0.5, 1.0, 2.0))) for size in sizes]
  network.rpn.anchor_generator.cell_anchors = cells
  with torch.no_grad():
    images, _ = network.transform([torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255])
    assert images.tensors.shape[2:] == SIZE
    features = network.backbone(images.tensors)
    proposals, _ = network.rpn(images, features)
    (found,), _ = network.roi_heads(features, proposals, images.image_sizes)
  return {name: value.numpy() for name, value in found.items()}


@pytest.mark.slow
def test_the_same_weights_give_the_same_detections(tmp_path):
  model, image = settings(), photograph()
  variables = random_weights(model)
  path = str(tmp_path / 'weights.pth')
  torch_files.write(path, frameworks.export('torchvision', variables, model))
  expected = of_torchvision(path, image)

  source = frameworks.open_source('torchvision', torch_files.read(path), model)
  loaded, report = import_state(source.state, frameworks.shapes(model), source.rules)
  report.check()
  size = np.array([SIZE], np.int32)
  batch = Batch(
    image=np.asarray(image)[None],
    image_size=size,
    original_size=size,
    index=np.zeros(1, np.int32),
    valid=np.ones(1, bool),
    objects=Objects(np.zeros((1, 0, 4), np.float32), np.zeros((1, 0), np.int32), np.zeros((1, 0), bool)),
  )
  with jax.default_matmul_precision('highest'):
    detections = jax.device_get(jax.jit(functools.partial(forward.predict, build_detector(model, 90)))(loaded, batch))
  valid = detections.valid[0]
  found = {name: getattr(detections, name)[0][valid] for name in ('boxes', 'scores', 'labels')}
  found['masks'] = detections.masks.probabilities[0][valid]

  assert len(found['scores']) == len(expected['scores']) == 100
  labels = expected['labels'] - 1  # background is class 0 there
  assert len(set(labels)) > 3 and expected['scores'].min() > THRESHOLD
  # Scores may tie to 1e-6, so that the order is not the program's: match by class and box.
  overlap = np.array(iou.pairwise_iou(jnp.asarray(expected['boxes']), jnp.asarray(found['boxes'])))
  overlap[labels[:, None] != found['labels']] = 0
  row = overlap.argmax(1)
  assert len(set(row)) == len(row)
  np.testing.assert_allclose(found['boxes'][row], expected['boxes'], atol=1e-3)
  np.testing.assert_allclose(found['scores'][row], expected['scores'], atol=1e-4)
  np.testing.assert_allclose(found['masks'][row], expected['masks'][:, 0], atol=1e-4)
