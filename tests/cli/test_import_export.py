"""`import` and `export` as functions: reports, strictness, categories, and round trips through files."""

import functools
import json
import logging
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxdet.cli.jobs import inference
from jaxdet.cli.jobs.exporting import export_checkpoint
from jaxdet.cli.jobs.importing import import_checkpoint, initial_variables
from jaxdet.convert import frameworks, state_files
from jaxdet.models.build import build_detector
from jaxdet.structures import Category
from jaxdet.training import freezing
from jaxdet.training.categories import placeholders
from jaxdet.training.checkpoint import Checkpoints, Metadata, initialize_from, load_for_inference
from jaxdet.training.state import abstract_state
from small_detector import CLASSES, small_config

CATEGORIES = tuple(Category(10 * i + 1, f'thing {i}', 'f', i) for i in range(CLASSES))


def new_config(folder, annotated: bool = False, num_classes: int | None = None) -> ConfigDict:
  """The small detector's config with its data in `folder`, where the annotation file may be."""
  config = ConfigDict(small_config().to_dict())
  config.data.update({'name': 'coco', 'dir': str(folder), 'train': ('none.json',), 'val': ('val.json',)})
  if annotated:
    entries = [{'id': c.id, 'name': c.name, 'frequency': c.frequency, 'image_count': c.image_count} for c in CATEGORIES]
    (folder / 'val.json').write_text(json.dumps({'images': [], 'annotations': [], 'categories': entries[::-1]}))
  config.model.num_classes = num_classes
  return config.lock()


def model() -> ConfigDict:
  model = ConfigDict(small_config().model.to_dict())
  model.num_classes = CLASSES
  return model


def variables() -> dict:
  return initial(3)


@functools.cache
def initial(seed: int) -> dict:
  config = ConfigDict({'model': model(), 'seed': seed})
  return initial_variables(config)


def weights(folder, program='mmdet', suffix='.safetensors', change=lambda state: state) -> str:
  """A file of the small detector's weights."""
  path = str(folder / f'{program}{suffix}')
  state_files.write_state(path, change(frameworks.export(program, variables(), model())))
  return path


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), b)


FORMS = {'.safetensors': '', '.pkl': '', '.pth': 'torch', '.bin': 'torch'}


@pytest.mark.parametrize('program', ['detectron2', 'mmdet', 'cvpods'])
@pytest.mark.parametrize('suffix', FORMS)
def test_a_round_trip_through_every_program_and_form_is_exact(tmp_path, program, suffix):
  if FORMS[suffix]:
    pytest.importorskip(FORMS[suffix])
  first, second = str(tmp_path / 'first'), str(tmp_path / 'second')
  import_checkpoint(new_config(tmp_path), first, program, weights(tmp_path, program))
  output = str(tmp_path / 'out' / f'weights{suffix}')
  export_checkpoint(first, program, output)
  import_checkpoint(new_config(tmp_path), second, program, output)
  loaded, metadata = load_for_inference(second)
  assert_same(loaded, variables())
  assert metadata.config.model.num_classes == CLASSES


def test_jaxdets_own_file_knows_config_and_categories(tmp_path):
  config = new_config(tmp_path, annotated=True)
  import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', weights(tmp_path), order='ids')
  output = str(tmp_path / 'own.safetensors')
  assert load_for_inference(str(tmp_path / 'run'))[1].categories == CATEGORIES
  export_checkpoint(str(tmp_path / 'run'), 'safetensors', output)
  import_checkpoint(None, str(tmp_path / 'again'), 'jaxdet', output)
  loaded, metadata = load_for_inference(str(tmp_path / 'again'))
  assert_same(loaded, variables())
  assert metadata.categories == CATEGORIES
  assert metadata.config.to_dict() == config.to_dict()


def test_the_report_is_printed_and_kept(tmp_path, capsys):
  import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), 'mmdet', weights(tmp_path))
  count = len(flatten_dict(variables(), sep='/'))
  changed = sum(path.endswith('kernel') for path in flatten_dict(variables(), sep='/'))
  printed = capsys.readouterr().out
  assert f'loaded      {count:>6}  {changed} of them transposed\nmissing          0\nunused           0\n' in printed
  assert (tmp_path / 'run' / 'import_report.txt').read_text() in printed


def damaged(state):
  """Without the RPN's logits, with a stranger, and with one class less."""
  state = {name: x for name, x in state.items() if 'rpn_cls' not in name} | {'stranger': np.ones(1)}
  state['roi_head.bbox_head.fc_cls.bias'] = state['roi_head.bbox_head.fc_cls.bias'][1:]
  return state


PATTERNS = ['rpn_head.rpn_cls.*', 'stranger', 'roi_head.bbox_head.fc_cls.bias']


@pytest.mark.parametrize('allow', [[], PATTERNS[:1], PATTERNS[1:], ['rpn_head.rpn_cls', 'stranger', '*bias']])
def test_every_name_must_find_its_place_or_be_allowed(tmp_path, allow, capsys):
  file = weights(tmp_path, change=damaged)
  with pytest.raises(ValueError, match='mmdet.safetensors does not fit the model: .*--allow PATTERN') as error:
    import_checkpoint(new_config(tmp_path, num_classes=CLASSES), str(tmp_path / 'run'), 'mmdet', file, allow)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run' / 'checkpoints').exists()
  printed = capsys.readouterr().out
  assert 'missing          2\n  rpn_head.rpn_cls.weight\n  rpn_head.rpn_cls.bias\n' in printed
  assert 'unused           1\n  stranger\n' in printed
  assert 'wrong shape      1\n  roi_head.bbox_head.fc_cls.bias of shape (5,) for ' in printed


def test_what_may_be_missing_keeps_its_initial_values(tmp_path):
  config = new_config(tmp_path, num_classes=CLASSES)
  import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', weights(tmp_path, change=damaged), PATTERNS)
  loaded, _ = load_for_inference(str(tmp_path / 'run'))
  expected = flatten_dict(variables(), sep='/')
  for path in ('rpn_head/logits/kernel', 'rpn_head/logits/bias', 'box_head/logits/bias'):
    expected[f'params/{path}'] = flatten_dict(initial(config.seed), sep='/')[f'params/{path}']
  for path, value in flatten_dict(loaded, sep='/').items():
    np.testing.assert_array_equal(value, expected[path], err_msg=path)
  assert np.any(
    loaded['params']['rpn_head']['logits']['kernel'] != variables()['params']['rpn_head']['logits']['kernel']
  )


@pytest.mark.parametrize('program', ['detectron2', 'timm', 'torchvision'])
def test_a_backbone_is_a_start_for_training(tmp_path, program):
  """ImageNet weights, classifier and all: `train.init_from` takes the backbone, the rest begins as it would."""
  config = new_config(tmp_path, num_classes=CLASSES)
  table = frameworks.backbone_rules(program, model())
  state = frameworks.export_state(variables(), table) | {'fc.weight': np.ones((1000, 8))}
  if program == 'detectron2':
    state.pop('fc.weight')
  state_files.write_state(str(tmp_path / 'resnet.safetensors'), state)
  import_checkpoint(config, str(tmp_path / 'run'), program, str(tmp_path / 'resnet.safetensors'))

  detector = build_detector(model(), CLASSES)
  state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), abstract_state(config, detector))
  started = initialize_from(state, str(tmp_path / 'run'), freezing.trainable(state.params, model().frozen))
  assert_same(started.params['backbone'], variables()['params']['backbone'])
  assert_same(started.params['rpn_head'], initial(config.seed)['params']['rpn_head'])


@pytest.mark.parametrize('program', ['detectron2', 'mmdet'])
def test_categories_are_those_of_the_annotation_file(tmp_path, program):
  """The annotation file lists them in another order than that of their ids; labels are in the order of the ids."""
  file, order = weights(tmp_path, program), 'ids' if program == 'mmdet' else None
  import_checkpoint(new_config(tmp_path, annotated=True), str(tmp_path / 'run'), program, file, order=order)
  loaded, metadata = load_for_inference(str(tmp_path / 'run'))
  assert metadata.categories == CATEGORIES
  assert_same(loaded, variables())


def test_mmdetections_order_must_be_known(tmp_path):
  config = new_config(tmp_path, annotated=True)
  with pytest.raises(ValueError, match="mmdet.safetensors does not name its classes.*'thing 4' .id 41.*--class_order"):
    import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', weights(tmp_path))
  assert not (tmp_path / 'run' / 'checkpoints').exists()
  import_checkpoint(config, str(tmp_path / 'listed'), 'mmdet', weights(tmp_path), order='listed')
  assert_reordered(tmp_path / 'listed', [4, 3, 2, 1, 0])


NAMED = [3, 0, 4, 1, 2]  # the file's class of each label


def named_weights(folder, names, program='mmdet') -> str:
  """A file of mmdetection that names its classes."""
  path = folder / 'named.pkl'
  state = frameworks.export(program, variables(), model())
  path.write_bytes(pickle.dumps({'state_dict': state, 'meta': {'CLASSES': names, 'epoch': 12}}))
  return str(path)


def names_of(order) -> tuple[str, ...]:
  """Names of a file's classes, of which class `order[label]` is that of the label."""
  return tuple(CATEGORIES[list(order).index(old)].name for old in range(CLASSES))


def assert_reordered(run, order):
  """The run has the weights of `variables` with label i for their class `order[i]`."""
  loaded, expected = load_for_inference(str(run))[0]['params'], variables()['params']
  with_background = [*order, CLASSES]
  for array in ('kernel', 'bias'):
    new, old = loaded['box_head']['logits'][array], expected['box_head']['logits'][array]
    np.testing.assert_array_equal(new, old[..., with_background])
    new, old = (tree['box_head']['deltas'][array].reshape(-1, CLASSES, 4) for tree in (loaded, expected))
    np.testing.assert_array_equal(new, old[:, order])
    np.testing.assert_array_equal(
      loaded['mask_head']['logits'][array], expected['mask_head']['logits'][array][..., order]
    )
  assert_same(loaded['backbone'], expected['backbone'])
  assert_same(loaded['rpn_head'], expected['rpn_head'])


def test_classes_of_a_file_that_names_them_are_sorted_by_name(tmp_path):
  config = new_config(tmp_path, annotated=True)
  import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', named_weights(tmp_path, names_of(NAMED)))
  assert_reordered(tmp_path / 'run', NAMED)
  assert load_for_inference(str(tmp_path / 'run'))[1].categories == CATEGORIES


def test_other_names_are_refused_unless_a_flag_accepts_the_order(tmp_path):
  config = new_config(tmp_path, annotated=True)
  file = named_weights(tmp_path, ('thing_0', *names_of(range(CLASSES))[1:]))
  with pytest.raises(ValueError, match="named.pkl and .*val.json .*class 0 is 'thing_0' .*label 0 is 'thing 0' .id 1"):
    import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', file)
  import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', file, order='ids')
  assert_same(load_for_inference(str(tmp_path / 'run'))[0], variables())


def test_classes_that_begin_anew_need_no_order(tmp_path):
  """A head of other classes is left out by --allow: then nothing in the file has classes."""
  file, config = named_weights(tmp_path, [f'other {i}' for i in range(80)]), new_config(tmp_path, annotated=True)
  (tmp_path / 'val.json').write_text(json.dumps({'categories': [{'id': 2, 'name': 'b'}, {'id': 1, 'name': 'a'}]}))
  allow = ['roi_head.bbox_head.fc_*', 'roi_head.mask_head.conv_logits.*']
  import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', file, allow)
  assert len(load_for_inference(str(tmp_path / 'run'))[1].categories) == 2


def test_without_an_annotation_file_the_files_names_are_kept(tmp_path):
  import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), 'mmdet', named_weights(tmp_path, names_of(NAMED)))
  loaded, metadata = load_for_inference(str(tmp_path / 'run'))
  assert [category.name for category in metadata.categories] == list(names_of(NAMED))
  assert metadata.config.data.compare_categories == 'names'
  assert_same(loaded, variables())


def test_without_an_annotation_file_there_are_placeholders(tmp_path, caplog):
  with caplog.at_level(logging.WARNING, logger='absl'):
    import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), 'mmdet', weights(tmp_path))
  assert f'categories have no names ({CLASSES} of them)' in caplog.text
  categories = load_for_inference(str(tmp_path / 'run'))[1].categories
  assert categories == placeholders(CLASSES) and categories[2] == Category(3, 'class 2')


def test_a_config_with_another_number_of_classes_is_refused(tmp_path):
  with pytest.raises(ValueError, match='num_classes is 7, and the annotation file has 5'):
    config = new_config(tmp_path, annotated=True, num_classes=7)
    import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', weights(tmp_path))
  with pytest.raises(ValueError, match='6 wrong shape'):
    config = new_config(tmp_path / 'none', num_classes=7)
    import_checkpoint(config, str(tmp_path / 'run'), 'mmdet', weights(tmp_path))


def test_a_workdir_with_checkpoints_is_left_alone(tmp_path):
  checkpoints = Checkpoints(str(tmp_path / 'run' / 'checkpoints'), keep=1)
  checkpoints.save_variables({'params': {'w': np.ones(1)}}, Metadata(new_config(tmp_path), CATEGORIES))
  checkpoints.close()
  with pytest.raises(ValueError, match='holds checkpoints already: give another --workdir'):
    import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), 'mmdet', weights(tmp_path))


@pytest.mark.parametrize(
  'program, file, error',
  [
    ('mmdet', 'none.pth', 'there is no file none.pth'),
    ('mmdet', 'detectron2.safetensors', '0 loaded|does not fit'),
    ('jaxdet', 'detectron2.safetensors', 'is no file of export --to safetensors'),
  ],
)
def test_mistakes(tmp_path, monkeypatch, program, file, error):
  weights(tmp_path, 'detectron2')
  monkeypatch.chdir(tmp_path)
  with pytest.raises((ValueError, OSError), match=error):
    import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), program, file)


def test_import_needs_a_config(tmp_path):
  with pytest.raises(ValueError, match='import needs the config of the model that .*mmdet.safetensors holds'):
    import_checkpoint(None, str(tmp_path / 'run'), 'mmdet', weights(tmp_path))


def test_an_evaluation_takes_its_data_sets_categories_for_placeholders(tmp_path, monkeypatch):
  import_checkpoint(new_config(tmp_path), str(tmp_path / 'run'), 'mmdet', weights(tmp_path))
  seen = {}

  class Data:
    categories, annotations = CATEGORIES, 'val.json'

  monkeypatch.setattr(inference, 'open_dataset', lambda *_: Data)
  monkeypatch.setattr(inference, 'check_evaluation', lambda *_: None)
  monkeypatch.setattr(
    inference, 'evaluate', lambda config, detector, variables, dataset, workdir: seen.update(d=dataset)
  )
  inference.evaluate_checkpoint(None, str(tmp_path / 'run'))
  assert seen['d'].categories == CATEGORIES
  Data.categories = CATEGORIES[1:]
  with pytest.raises(ValueError, match='5 categories are never the same as 4'):
    inference.evaluate_checkpoint(None, str(tmp_path / 'run'))
