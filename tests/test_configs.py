"""Configs: their arguments, recipes that read what they accept, lengths of schedules, and remedies for LVIS's tail."""

import importlib
import pathlib
import re

import pytest
from ml_collections import ConfigDict

from configs import arguments, lvis_maskrcnn
from configs.mmdet import mask_rcnn
from configs.mmdet.fcos import BIASES
from jaxdet.configuration import load_config
from jaxdet.models.build import build_detector
from jaxdet.zoo.lines import PROGRAMS, read_lines

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECIPES = sorted(file for program in PROGRAMS for file in (ROOT / 'configs' / program).glob('*.py'))
WITH_MASKS = mask_rcnn.CHOICES['dataset']
CHOICES = {'program': ('detectron2', 'mmdet'), 'backbone': ('r50', 'r101'), 'masks': (False, True)}


def config_of(name: str) -> ConfigDict:
  """The config of 'mmdet/mask_rcnn:backbone=r101'."""
  file, _, variant = name.partition(':')
  return importlib.import_module(f'configs.{file.replace("/", ".")}').get_config(variant)


def test_arguments_have_defaults_and_are_set_by_name():
  defaults = {'program': 'detectron2', 'backbone': 'r50', 'masks': False}
  assert vars(arguments.parse('', CHOICES)) == defaults
  assert vars(arguments.parse('backbone=r101,masks=true', CHOICES)) == defaults | {'backbone': 'r101', 'masks': True}


@pytest.mark.parametrize(
  'text, error',
  [
    ('backbon=r50', "unknown argument 'backbon=r50' of a config; the nearest is 'backbone='"),
    ('r50', "unknown argument 'r50'"),
    ('backbone=r51', "unknown backbone 'r51' of a config: choose one of r50, r101"),
    ('masks=True', "unknown masks 'True' of a config: choose one of false, true"),
  ],
)
def test_mistakes_in_arguments_are_named(text, error):
  with pytest.raises(ValueError, match=error):
    arguments.parse(text, CHOICES)


def test_every_model_of_the_table_has_a_complete_locked_config():
  lines = read_lines(ROOT / 'configs' / 'zoo.csv')
  assert len(lines) > 300
  # Some configs upstream are there twice, as .yaml and as .py.
  assert len({(line.program, line.upstream, line.config) for line in lines}) == len(
    {(line.program, line.upstream) for line in lines}
  )
  for line in lines:
    config = config_of(line.config.removeprefix('configs/').replace('.py', ''))
    assert config.is_locked and config.train.steps > 0, line
    assert list(config.train.schedule.milestones) == sorted(config.train.schedule.milestones), line
    assert config.model.get_type('num_classes') is int, line  # None, but to be filled in


def test_a_config_finds_others_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = load_config(f'{ROOT}/configs/mmdet/cascade_rcnn.py')
  assert config.model.name == 'two_stage' and config.model.roi.cascade.resample


@pytest.mark.parametrize('file', RECIPES, ids=lambda file: f'{file.parent.name}/{file.stem}')
def test_a_recipe_reads_every_argument_that_it_accepts(file):
  recipe = importlib.import_module(f'configs.{file.parent.name}.{file.stem}')
  for name, values in recipe.CHOICES.items():
    configs = set()
    for value in values:
      try:
        configs.add(recipe.get_config(f'{name}={str(value).lower()}' if value != '' else '').to_json_best_effort())
      except ValueError as error:
        assert 'has no schedule' in str(error)  # of this data set
    assert len(configs) > 1 or name == 'schedule' and len(values) == 1, f'{name} changes nothing'


@pytest.mark.parametrize('file', [*RECIPES, ROOT / 'configs' / 'lvis_maskrcnn.py'], ids=lambda file: file.stem)
def test_the_commands_in_a_recipes_docstring_work(file):
  commands = re.findall(r'--config (\S+)', file.read_text())
  assert commands
  for command in commands:
    assert command.startswith(str(file.relative_to(ROOT))), 'another file'
    assert load_config(f'{ROOT}/{command}').is_locked


@pytest.mark.parametrize(
  'name, error',
  [
    ('mmdet/detr:refine=true', "unknown argument 'refine=true'"),
    ('detectron2/fcos:form=improved', "unknown argument 'form=improved'"),
    ('detectron2/mask_rcnn:dataset=voc', "unknown dataset 'voc' of a config: choose one of coco"),  # has no masks
    ('detectron2/mask_rcnn:dataset=deepfashion', "unknown dataset 'deepfashion'"),
    ('detectron2/mask_rcnn:schedule=24k', "dataset 'coco' has no schedule '24k' here: choose one of 1x, 2x, 3x, 9x"),
    ('detectron2/mask_rcnn:dataset=lvis_v1,schedule=3x', "'lvis_v1' has no schedule '3x' here: choose one of 1x, 2x"),
    ('detectron2/faster_rcnn:dataset=voc,schedule=1x', "'voc' has no schedule '1x' here: choose one of 18k"),
    ('mmdet/mask_rcnn:dataset=deepfashion,schedule=1x', "'deepfashion' has no schedule '1x' here: choose one of 15e"),
  ],
)
def test_what_a_program_does_not_have_is_refused(name, error):
  with pytest.raises(ValueError, match=error):
    config_of(name)


@pytest.mark.parametrize(
  'name, steps, milestones, batch_size, base_lr',
  [
    ('detectron2/mask_rcnn', 90_000, (60_000, 80_000), 16, 0.02),
    ('detectron2/mask_rcnn:schedule=3x', 270_000, (210_000, 250_000), 16, 0.02),
    ('detectron2/mask_rcnn:weights=scratch_syncbn,schedule=9x', 202_500, (187_500, 197_500), 64, 0.08),
    ('detectron2/mask_rcnn:dataset=lvis_v1', 180_000, (120_000, 160_000), 16, 0.02),
    ('detectron2/mask_rcnn:dataset=cityscapes', 24_000, (18_000,), 8, 0.01),
    ('detectron2/mask_rcnn_lsj', 183_228, (164_905, 175_898), 64, 0.1),
    ('detectron2/faster_rcnn:dataset=voc', 18_000, (12_000, 16_000), 16, 0.02),
    ('detectron2/retinanet', 90_000, (60_000, 80_000), 16, 0.01),
    ('mmdet/mask_rcnn', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/mask_rcnn:weights=gn_ws,schedule=24e', 175_920, (146_600, 168_590), 16, 0.02),
    ('mmdet/mask_rcnn:dataset=cityscapes', 23_744, (20_776,), 8, 0.01),
    ('mmdet/mask_rcnn:dataset=deepfashion', 48_540, (25_888, 35_596), 16, 0.02),  # it is repeated within an epoch
    ('mmdet/faster_rcnn:schedule=90k', 90_000, (60_000, 80_000), 16, 0.02),
    ('mmdet/faster_rcnn:dataset=voc', 12_420, (9_315,), 16, 0.01),
    ('mmdet/faster_rcnn:neck=c4,weights=msra,dataset=voc_ms', 18_000, (12_000, 16_000), 16, 0.02),
    ('mmdet/retinanet:dataset=voc', 12_420, (9_315,), 16, 0.01),
    ('mmdet/grid_rcnn', 183_250, (124_610, 168_590), 16, 0.02),
    ('mmdet/grid_rcnn:schedule=1x', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/double_head', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/dynamic_rcnn', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/libra_rcnn:proposals=given', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/libra_retinanet', 87_960, (58_640, 80_630), 16, 0.01),
    ('mmdet/ms_rcnn:weights=msra', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/ms_rcnn:schedule=2x', 175_920, (117_280, 161_260), 16, 0.02),
    ('mmdet/fcos_rpn', 87_960, (58_640, 80_630), 16, 0.02),
    ('mmdet/gfl:sizes=lsj,schedule=200ep', 366_456, (322_481, 351_797), 64, 0.04),
    ('mmdet/ssd', 219_888, (146_592, 201_564), 64, 2e-3),
    ('detectron2/panoptic_fpn:schedule=135k', 135_000, (105_000, 125_000), 32, 0.04),
    ('mmdet/cornernet', 492_660, (422_280,), 50, 5e-4),
    ('mmdet/detr', 1_099_500, (733_000,), 16, 1e-4),
    ('mmdet/deformable_detr', 183_250, (146_600,), 32, 2e-4),
    ('detic/deformable_detr:schedule=2x', 180_000, (150_000,), 16, 2e-4),
  ],
)
def test_schedules(name, steps, milestones, batch_size, base_lr):
  train = config_of(name).train
  assert (train.steps, tuple(train.schedule.milestones)) == (steps, milestones)
  assert (train.batch_size, train.schedule.base_batch_size, train.schedule.base_lr) == (batch_size, batch_size, base_lr)


@pytest.mark.parametrize(
  'name, ignore, sizes, max_size, canvases',
  [
    ('detectron2/faster_rcnn:dataset=voc', (False, 0), (480, 800), 1333, ((800, 1344), (1344, 800))),
    ('mmdet/faster_rcnn:dataset=voc', (True, 33), (600, 600), 1000, ((608, 1024), (1024, 608))),
    ('mmdet/faster_rcnn:dataset=voc_ms', (True, 0), (480, 800), 1333, ((800, 1344), (1344, 800))),
    ('mmdet/retinanet:dataset=voc', (True, 33), (600, 600), 1000, ((608, 1024), (1024, 608))),
  ],
)
def test_voc_has_boxes_alone_and_both_years(name, ignore, sizes, max_size, canvases):
  config = config_of(name)
  data, resize = config.data, config.data.resize
  assert (data.name, config.eval.protocol, config.train.best_metric) == ('voc', 'voc', 'bbox/AP50_11')
  assert (data.train, data.val) == (('VOC2007/trainval+VOC2012/trainval',), ('VOC2007/test',))
  assert (data.mask_size, data.max_vertices, config.eval.iou_types) == (0, 0, ('bbox',))
  assert (data.ignore.marked, data.ignore.min_side) == ignore
  assert (resize.sizes[0], resize.sizes[-1], resize.max_size, data.canvases) == (*sizes, max_size, canvases)


@pytest.mark.parametrize('dataset', WITH_MASKS)
def test_every_data_set_has_files_and_a_folder_of_its_own(dataset):
  data = config_of(f'mmdet/mask_rcnn:dataset={dataset}').data
  others = [config_of(f'mmdet/mask_rcnn:dataset={other}').data for other in WITH_MASKS if other != dataset]
  assert not any(data.train[0] == other.train[0] or data.val[0] == other.val[0] for other in others)


@pytest.mark.parametrize(
  'name, sizes',
  [
    ('detectron2/mask_rcnn', (640, 672, 704, 736, 768, 800)),
    ('detectron2/mask_rcnn:sizes=800', (800,)),
    ('mmdet/mask_rcnn', (800,)),
    ('mmdet/mask_rcnn:sizes=640-800', tuple(range(640, 801))),
    ('mmdet/mask_rcnn:dataset=lvis_v1', (640, 672, 704, 736, 768, 800)),
    ('mmdet/mask_rcnn:dataset=deepfashion', (750,)),
  ],
)
def test_sizes_of_training_images(name, sizes):
  assert config_of(name).data.resize.sizes == sizes


def test_biases_of_norms_and_of_what_moves_samples_learn_as_other_parameters():
  fast = ['head/logits/bias', 'head/class_conv3/bias', 'neck/output3/bias']
  others = [
    'head/class_conv3_norm/bias',
    'head/class_conv3/offset/bias',
    'backbone/stem/norm/bias',
    'head/logits/kernel',
  ]
  assert [path for path in fast + others if re.search(BIASES, path)] == fast


@pytest.mark.parametrize('longest, name', [(1333, 'mmdet/detr'), (4200, 'mmdet/deformable_detr')])
def test_query_detectors_see_half_of_the_images_in_part(longest, name):
  data = config_of(name).data
  crop = {'probability': 0.5, 'sizes': (400, 500, 600), 'max_size': longest, 'range': (384, 600)}
  assert data.resize.crop.to_dict() == crop and data.mask_size == 0
  assert config_of('mmdet/mask_rcnn').data.resize.crop.probability == 0.0


@pytest.mark.parametrize(
  'name', ['detectron2/retinanet', 'detectron2/fcos', 'mmdet/retinanet', 'mmdet/fcos', 'mmdet/atss', 'mmdet/gfl']
)
def test_dense_methods_have_a_small_form_on_generated_images(name):
  config = config_of(f'{name}:mini')
  assert (config.data.name, config.eval.protocol, config.train.steps) == ('shapes', 'lvis', 1000)
  assert build_detector(config.model, num_classes=3).networks['head'].num_anchors >= 1


class TestLvis:
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
  def test_variants(self, variant, steps, milestones, sampler, class_loss, classifier):
    config = lvis_maskrcnn.get_config(variant)
    assert (config.train.steps, tuple(config.train.schedule.milestones)) == (steps, milestones)
    assert config.data.sampler.name == sampler
    assert (config.model.roi.class_loss.name, config.model.roi.box_head.classifier) == (class_loss, classifier)

  @pytest.mark.parametrize(
    'variant, name',
    [
      ('v1,upstream=detectron2,backbone=r101', 'detectron2/mask_rcnn:dataset=lvis_v1,backbone=r101'),
      ('v0.5,upstream=mmdet,schedule=2x', 'mmdet/mask_rcnn:dataset=lvis_v0.5,schedule=2x'),
      ('v0.5,upstream=cvpods,sampler=rfs', 'disalign/mask_rcnn:dataset=lvis_v0.5,sampler=repeat_factor'),
      ('v1,upstream=cvpods,calibration=disalign', 'disalign/mask_rcnn:calibration=disalign'),
      ('v1,upstream=mmdet,loss=seesaw_normed_mask,schedule=2x', 'mmdet/seesaw:normed_mask=true'),
      (
        'v1,upstream=mmdet,method=cascade_mask_rcnn,backbone=r101,loss=seesaw,sampler=none,schedule=2x',
        'mmdet/seesaw:cascade=true,backbone=r101,sampler=uniform',
      ),
    ],
  )
  def test_a_published_model_is_the_same_from_the_folder_of_its_program(self, variant, name):
    assert lvis_maskrcnn.get_config(variant).to_dict() == config_of(name).to_dict()

  @pytest.mark.parametrize('loss', lvis_maskrcnn.CHOICES['loss'])
  def test_every_loss_for_the_tail_makes_a_detector(self, loss):
    config = lvis_maskrcnn.get_config(f'mini,loss={loss}').copy_and_resolve_references().unlock()
    config.model.class_counts.instances = config.model.class_counts.images = (50, 3)
    assert build_detector(config.model, num_classes=2).stages[0].class_loss.columns >= 3

  def test_an_argument_that_the_mini_config_does_not_have_is_named(self):
    with pytest.raises(ValueError, match='the mini config has no backbone: its arguments are version'):
      lvis_maskrcnn.get_config('mini,backbone=r101')
