"""Configs: their arguments, and that every line of the model table is one."""

import importlib
import pathlib
import re

import pytest

from configs import arguments, dense, lvis_maskrcnn, query, rcnn
from jaxdet.command_line import load_config
from jaxdet.models.build import build_detector

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHOICES = {'upstream': ('detectron2', 'mmdet'), 'backbone': ('r50', 'r101')}


def zoo_lines():
  lines = (ROOT / 'configs' / 'zoo.csv').read_text().splitlines()
  return [line.split(',', 1) for line in lines if line and not line.startswith('#')]


def test_arguments_have_defaults_and_are_set_by_name():
  assert vars(arguments.parse('', CHOICES)) == {'upstream': 'detectron2', 'backbone': 'r50'}
  assert vars(arguments.parse('backbone=r101', CHOICES)) == {'upstream': 'detectron2', 'backbone': 'r101'}


@pytest.mark.parametrize(
  'text, error',
  [
    ('backbon=r50', "unknown argument 'backbon=r50' of a config; the nearest is 'backbone='"),
    ('r50', "unknown argument 'r50'"),
    ('backbone=r51', "unknown backbone 'r51' of a config: choose one of r50, r101"),
  ],
)
def test_mistakes_in_arguments_are_named(text, error):
  with pytest.raises(ValueError, match=error):
    arguments.parse(text, CHOICES)


def test_every_model_of_the_table_has_a_complete_locked_config():
  lines = zoo_lines()
  assert len({upstream for upstream, _ in lines}) == len(lines)
  for upstream, path in lines:
    file, _, variant = path.partition(':')
    module = importlib.import_module(file.removesuffix('.py').replace('/', '.'))
    config = module.get_config(variant)
    assert config.is_locked and config.train.steps > 0, upstream
    assert list(config.train.schedule.milestones) == sorted(config.train.schedule.milestones), upstream


def test_a_config_finds_its_neighbours_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = load_config(f'{ROOT}/configs/rcnn.py:method=cascade_rcnn,upstream=mmdet')
  assert config.model.name == 'cascade_rcnn' and config.model.roi.cascade.resample


def test_some_settings_of_upstream():
  c4 = rcnn.get_config('neck=c4,method=faster_rcnn').model
  assert (c4.rpn.channels, c4.rpn.test_proposals.pre_nms, c4.roi.shared_head) == (1024, 6000, 'res5')
  giou = rcnn.get_config('box_loss=giou').model
  assert (giou.rpn.loss.name, giou.rpn.loss.weight, giou.roi.loss.weight) == ('giou', 2.0, 10.0)
  mmdet = rcnn.get_config('upstream=mmdet,method=faster_rcnn')
  assert mmdet.model.roi.matcher.low_quality == 'none' and mmdet.train.schedule.warmup_steps == 500
  assert mmdet.train.optimizer.weight_decay_norm == mmdet.train.optimizer.weight_decay
  lsj = rcnn.get_config('recipe=lsj,schedule=100ep')
  assert lsj.model.rpn.num_convs == 2 and lsj.model.neck.norm == 'sync_bn' and lsj.train.steps == 183_228


@pytest.mark.parametrize(
  'variant, steps, milestones, batch_size, base_lr',
  [
    ('', 90_000, (60_000, 80_000), 16, 0.02),
    ('schedule=3x', 270_000, (210_000, 250_000), 16, 0.02),
    ('weights=scratch_syncbn,schedule=9x', 202_500, (187_500, 197_500), 64, 0.08),
    ('dataset=lvis_v1', 180_000, (120_000, 160_000), 16, 0.02),
    ('dataset=cityscapes', 24_000, (18_000,), 8, 0.01),
    ('upstream=mmdet', 87_960, (58_640, 80_630), 16, 0.02),
    ('upstream=mmdet,weights=gn_ws,schedule=24e', 175_920, (146_600, 168_590), 16, 0.02),
    ('upstream=mmdet,dataset=cityscapes', 23_744, (20_776,), 8, 0.01),
    ('upstream=mmdet,method=faster_rcnn,dataset=voc', 12_420, (9_315,), 16, 0.01),
    ('upstream=mmdet,method=faster_rcnn,neck=c4,weights=msra,dataset=voc', 18_000, (12_000, 16_000), 16, 0.02),
  ],
)
def test_schedules(variant, steps, milestones, batch_size, base_lr):
  train = rcnn.get_config(variant).train
  assert (train.steps, tuple(train.schedule.milestones)) == (steps, milestones)
  assert (train.batch_size, train.schedule.base_batch_size, train.schedule.base_lr) == (batch_size, batch_size, base_lr)


@pytest.mark.parametrize(
  'variant, ignore, sizes, max_size, canvases',
  [
    ('', (False, 0), (480, 800), 1333, ((800, 1344), (1344, 800))),
    ('upstream=mmdet', (True, 33), (600, 600), 1000, ((608, 1024), (1024, 608))),
    ('upstream=mmdet,neck=c4,weights=msra', (True, 0), (480, 800), 1333, ((800, 1344), (1344, 800))),
  ],
)
def test_voc_has_boxes_alone_and_both_years(variant, ignore, sizes, max_size, canvases):
  config = rcnn.get_config(f'method=faster_rcnn,dataset=voc,{variant}'.rstrip(','))
  data = config.data
  assert (data.name, config.eval.protocol, config.train.best_metric) == ('voc', 'voc', 'bbox/AP50_11')
  assert (data.train, data.val) == (('VOC2007/trainval+VOC2012/trainval',), ('VOC2007/test',))
  assert (data.mask_size, data.max_vertices, config.eval.iou_types) == (0, 0, ('bbox',))
  assert (data.ignore.marked, data.ignore.min_side) == ignore
  assert (data.resize.sizes[0], data.resize.sizes[-1], data.resize.max_size, data.canvases) == (
    *sizes,
    max_size,
    canvases,
  )
  with pytest.raises(ValueError, match="method 'mask_rcnn' needs masks, and dataset=voc has boxes alone"):
    rcnn.get_config('dataset=voc')


def test_a_schedule_that_a_program_does_not_have_is_named():
  with pytest.raises(ValueError, match="detectron2 has no schedule '6x': choose one of 1x, 2x, 3x"):
    rcnn.get_config('schedule=6x')


@pytest.mark.parametrize(
  'variant, steps, milestones, sampler, class_loss, classifier',
  [
    ('', 180_000, (120_000, 160_000), 'repeat_factor', 'cross_entropy', 'linear'),
    ('v0.5', 90_000, (60_000, 80_000), 'repeat_factor', 'cross_entropy', 'linear'),
    ('v0.5,schedule=180k', 180_000, (120_000, 160_000), 'repeat_factor', 'cross_entropy', 'linear'),
    ('v1,schedule=2x', 360_000, (240_000, 320_000), 'repeat_factor', 'cross_entropy', 'linear'),
    ('v1,upstream=mmdet', 75_132, (50_088, 68_871), 'repeat_factor', 'cross_entropy', 'linear'),
    ('v1,upstream=cvpods,classifier=cosine', 180_000, (120_000, 160_000), 'uniform', 'cross_entropy', 'cosine'),
    ('v1,upstream=cvpods,calibration=disalign', 9_000, (8_000,), 'uniform', 'reweighted', 'linear'),
    ('v0.5,upstream=cvpods,calibration=disalign', 4_500, (4_000,), 'uniform', 'reweighted', 'linear'),
    ('v0.5,calibration=disalign,schedule=9k', 9_000, (8_000,), 'repeat_factor', 'reweighted', 'linear'),
    ('v1,calibration=crt', 9_000, (8_000,), 'class_balanced', 'cross_entropy', 'linear'),
    ('v1,loss=seesaw,sampler=irfs', 180_000, (120_000, 160_000), 'instance_repeat_factor', 'seesaw', 'normed'),
    ('v1,loss=federated,recipe=lsj', 45_000, (30_000, 40_000), 'repeat_factor', 'federated', 'linear'),
    ('mini,classifier=cosine,sampler=none', 1_000, (750, 920), 'uniform', 'cross_entropy', 'cosine'),
  ],
)
def test_lvis_variants(variant, steps, milestones, sampler, class_loss, classifier):
  config = lvis_maskrcnn.get_config(variant)
  assert (config.train.steps, tuple(config.train.schedule.milestones)) == (steps, milestones)
  assert config.data.sampler.name == sampler
  assert (config.model.roi.class_loss.name, config.model.roi.box_head.classifier) == (class_loss, classifier)


@pytest.mark.parametrize('loss', lvis_maskrcnn.CHOICES['loss'])
def test_every_loss_for_the_tail_makes_a_detector(loss):
  config = lvis_maskrcnn.get_config(f'mini,loss={loss}').copy_and_resolve_references().unlock()
  config.model.class_counts.instances = config.model.class_counts.images = (50, 3)
  assert build_detector(config.model, num_classes=2).class_loss.columns >= 3


def test_an_argument_that_the_mini_config_does_not_have_is_named():
  with pytest.raises(ValueError, match='the mini config has no backbone: its arguments are version'):
    lvis_maskrcnn.get_config('mini,backbone=r101')


def test_dense_detectors_as_their_programs_have_them():
  retinanet = dense.get_config('method=retinanet')
  assert retinanet.train.schedule.base_lr == 0.01 and retinanet.model.head.normalizer.initial == 100.0
  assert len(retinanet.model.head.anchors.sizes) == len(retinanet.model.neck.levels) == 5
  fcos = dense.get_config('method=fcos,upstream=mmdet,weights=detectron1')
  assert fcos.train.optimizer.lr_factors.to_dict() == {dense.BIASES: 2.0} and fcos.train.optimizer.clip_norm == 35.0
  assert fcos.model.pixel_mean[0] == 122.7717 and not fcos.model.head.matcher.radius
  improved = dense.get_config('method=fcos,upstream=mmdet,weights=msra,form=improved')
  warmups = [(c.train.schedule.warmup, c.train.schedule.warmup_factor) for c in (fcos, improved, retinanet)]
  assert warmups == [('constant', 1 / 3), ('linear', 1 / 3), ('linear', 0.001)]
  sampling = dense.get_config('method=gfl,upstream=mmdet,backbone=x101_32x4d,deformable=v1_c4_c5').model
  assert (sampling.backbone.deformable, sampling.backbone.deformable_levels) == ('v1', (4, 5))
  lvis = dense.get_config('method=atss,upstream=mmdet,dataset=lvis_v1')
  assert (lvis.eval.protocol, lvis.eval.iou_types, lvis.model.test.detections) == ('lvis', ('bbox',), 300)
  jitter = dense.get_config('method=gfl,upstream=mmdet,recipe=lsj,schedule=200ep').train
  assert (jitter.batch_size, jitter.schedule.base_lr, jitter.steps) == (64, 0.04, 366_456)


def test_biases_of_norms_and_of_what_moves_samples_learn_as_other_parameters():
  fast = ['head/logits/bias', 'head/class_conv3/bias', 'neck/output3/bias']
  others = [
    'head/class_conv3_norm/bias',
    'head/class_conv3/offset/bias',
    'backbone/stem/norm/bias',
    'head/logits/kernel',
  ]
  assert [path for path in fast + others if re.search(dense.BIASES, path)] == fast


@pytest.mark.parametrize(
  'variant, error', [('method=gfl', 'detectron2 does not have gfl'), ('recipe=lsj,upstream=mmdet', 'schedule=200ep')]
)
def test_what_a_program_does_not_have_is_named(variant, error):
  with pytest.raises(ValueError, match=error):
    dense.get_config(variant)


@pytest.mark.parametrize('method', ['retinanet', 'fcos', 'atss', 'gfl'])
def test_dense_methods_have_a_small_form_on_generated_images(method):
  upstream = 'mmdet' if method in ('atss', 'gfl') else 'detectron2'
  config = dense.get_config(f'method={method},upstream={upstream},dataset=mini')
  assert (config.data.name, config.eval.protocol, config.train.steps) == ('shapes', 'lvis', 1000)
  assert build_detector(config.model, num_classes=3).networks['head'].num_anchors >= 1


@pytest.mark.parametrize(
  'variant, longest', [('', 1333), ('method=deformable_detr', 4200), ('method=deformable_detr,upstream=detic', 4200)]
)
def test_query_detectors_see_half_of_the_images_in_part(variant, longest):
  data = query.get_config(variant).data
  crop = {'probability': 0.5, 'sizes': (400, 500, 600), 'max_size': longest, 'range': (384, 600)}
  assert data.resize.crop.to_dict() == crop and data.mask_size == 0
  assert rcnn.get_config().data.resize.crop.probability == 0.0


def test_retinanet_on_voc():
  config = dense.get_config('method=retinanet,upstream=mmdet,dataset=voc')
  assert (config.data.name, config.eval.protocol, config.train.best_metric) == ('voc', 'voc', 'bbox/AP50_11')
  assert (config.train.steps, config.train.schedule.base_lr, config.train.schedule.warmup_steps) == (12_420, 0.01, 0)
