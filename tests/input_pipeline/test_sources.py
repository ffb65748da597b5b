"""Training images from several sources."""

import itertools
import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline import dataset
from input_pipeline.sources import BLOCK, Turns, seed_of, settings_of_sources
from jaxdet.configuration import load_config


class TestTurns:
  def test_one_source_has_every_step(self):
    assert [Turns([2.0], 0).turn(step) for step in (0, 7, 3 * BLOCK)] == [(0, 0), (0, 7), (0, 3 * BLOCK)]

  def test_steps_of_a_source_are_numbered_without_gaps(self):
    turns = Turns([1.0, 0.0, 3.0], 0)
    found = [turns.turn(step) for step in range(2 * BLOCK + 50)]
    for source in (0, 2):
      numbers = [number for of, number in found if of == source]
      assert numbers == list(range(len(numbers)))
    assert {source for source, _ in found} == {0, 2}

  def test_shares_are_those_of_the_rates(self):
    found = [Turns([1.0, 4.0], 3).turn(step)[0] for step in range(2000)]
    assert abs(np.mean(found) - 0.8) < 0.03

  def test_a_step_is_found_without_those_before(self):
    turns = Turns([1.0, 1.0], 5)
    straight = [turns.turn(step) for step in range(2 * BLOCK + 9)]
    steps = [2 * BLOCK + 8, 3, BLOCK]
    resumed = Turns([1.0, 1.0], 5)
    assert [resumed.turn(step) for step in steps] == [straight[step] for step in steps]

  def test_another_seed_is_another_order(self):
    orders = [[Turns([1.0, 1.0], seed).turn(step)[0] for step in range(64)] for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_the_first_source_has_the_seed_of_the_run_and_others_their_own():
  assert seed_of(7, 0) == 7
  assert len({seed_of(seed, position) for seed in (0, 1) for position in range(3)}) == 6


DATA = ConfigDict(
  {
    **{'train': ('a.json',), 'val': ('v.json',), 'rate': 1.0, 'dir': 'x', 'canvases': ((8, 8),)},
    **{'resize': {'jitter': (0.1, 2.0), 'name': 'stretch'}, 'more_sources': {}},
  }
)


class TestSettings:
  def settings(self, sources, **data):
    return settings_of_sources(ConfigDict({**DATA.to_dict(), 'more_sources': sources, **data}))

  def test_a_source_is_what_is_otherwise_for_it(self):
    second = {'train': ('b.json',), 'rate': 4.0, 'resize': {'jitter': (0.5, 1.5)}}
    found = self.settings({'labelled': second})
    assert list(found) == ['', 'labelled']
    assert (found[''].train, found[''].rate, found[''].resize.jitter) == (('a.json',), 1.0, (0.1, 2.0))
    other = found['labelled']
    assert (other.train, other.rate, other.dir, other.canvases) == (('b.json',), 4.0, 'x', ((8, 8),))
    assert (other.resize.jitter, other.resize.name) == ((0.5, 1.5), 'stretch')

  def test_without_training_there_is_none(self):
    assert self.settings({'other': {'train': ('b.json',)}}, train=()) == {}

  @pytest.mark.parametrize(
    ('sources', 'message'),
    [
      ({'b': {'rate': 2.0}}, 'data.more_sources.b has no `train`'),
      ({'b': {'train': ('b',), 'canvas': ()}}, "unknown config key 'data.more_sources.b.canvas'; the nearest is 'canv"),
      (
        {'b': {'train': ('b',), 'resize': {'jiter': ()}}},
        "unknown config key 'data.more_sources.b.resize.jiter'; the nearest is 'jitter'",
      ),
      ({'b': {'train': ('b',), 'val': ('c',)}}, 'data.more_sources.b.val: that is for all sources, set data.val'),
      ({'b c': {'train': ('b',)}}, "data.more_sources has the name 'b c'"),
      ({'b': {'train': ('b',), 'rate': -1.0}}, 'data.rate of training images is .*give numbers from 0 on'),
    ],
  )
  def test_what_cannot_be(self, sources, message):
    with pytest.raises(ValueError, match=message):
      self.settings(sources)


def write(folder, split, size, count, **image):
  """Images of one size; an object each, unless they have labels of their own."""
  content = {
    'images': [
      {'id': i, 'height': size, 'width': size, 'file_name': f'{split}{i}.png', **image} for i in range(1, count + 1)
    ],
    'categories': [{'id': id, 'name': str(id)} for id in (3, 5)],
    'annotations': [],
  }
  for entry in content['images']:
    Image.new('RGB', (size, size), (40 * entry['id'],) * 3).save(folder / entry['file_name'])
    if not image:
      box = {'bbox': [1, 1, 8, 8], 'area': 64, 'segmentation': [[1, 1, 9, 1, 9, 9]]}
      content['annotations'].append({'id': entry['id'], 'image_id': entry['id'], 'category_id': 3, **box})
  (folder / f'{split}.json').write_text(json.dumps(content))


class TestBatches:
  @pytest.fixture
  def folder(self, tmp_path):
    write(tmp_path, 'train', 20, 5)
    write(tmp_path, 'val', 20, 1)
    write(tmp_path, 'labelled', 16, 4, pos_category_ids=[5])
    return tmp_path

  def build(self, folder, process=0, processes=1, **second):
    config = load_config('configs/detectron2/mask_rcnn.py').unlock()
    config.data.update(dir=str(folder), mask_size=16, max_vertices=0, max_objects=4, canvases=((32, 32),), flip=0.0)
    config.data.train, config.data.val = ('train.json',), ('val.json',)
    config.data.resize.update(sizes=(20,), max_size=40, test_size=20)
    config.train.batch_size = 2
    if second:
      config.data.more_sources.labelled = second
    return dataset.build(config.lock(), process_index=process, process_count=processes)

  LABELLED = {'train': ('labelled.json',), 'rate': 2.0, 'canvases': ((24, 24),), 'image_labels': True}

  def test_each_batch_is_of_one_source_with_its_canvas_and_kinds(self, folder):
    data = self.build(folder, **self.LABELLED)
    assert data.num_train_images == 9 and data.class_counts()['images'] == (5, 0)
    labelled = 0
    for batch in itertools.islice(data.train_batches(0), 40):
      if batch.image.shape[1] == 24:
        labelled += 1
        assert batch.image_labels.tolist() == [[False, True]] * 2 and not batch.objects.valid.any()
      else:
        assert batch.image.shape[1] == 32 and batch.image_labels is None
        assert batch.objects.valid.sum(1).tolist() == [1, 1]
    assert 20 < labelled < 35

  def test_the_batches_of_a_source_are_those_that_it_has_alone(self, folder):
    alone = self.build(folder).train_batches(0)
    mixed = self.build(folder, **self.LABELLED).train_batches(0)
    for batch in itertools.islice((batch for batch in mixed if batch.image_labels is None), 6):
      jax.tree.map(np.testing.assert_array_equal, batch, next(alone))

  def test_batches_resume_and_are_shared_by_processes(self, folder):
    straight = list(itertools.islice(self.build(folder, **self.LABELLED).train_batches(0), 12))
    resumed = self.build(folder, **self.LABELLED).train_batches(6)
    parts = [self.build(folder, process, 2, **self.LABELLED).train_batches(6) for process in range(2)]
    for expected in straight[6:]:
      jax.tree.map(np.testing.assert_array_equal, next(resumed), expected)
      joined = jax.tree.map(lambda *rows: np.concatenate(rows), *map(next, parts))
      jax.tree.map(np.testing.assert_array_equal, joined, expected)

  def test_records_lie_beside_each_other(self, folder):
    self.build(folder, **self.LABELLED)
    names = sorted(path.name for path in (folder / 'records').glob('*/detection-*.json'))
    assert names == ['detection-train.json', 'detection-train_labelled.json', 'detection-val.json']

  def test_sources_have_one_table_of_categories(self, folder):
    content = json.loads((folder / 'labelled.json').read_text())
    content['categories'].append({'id': 9, 'name': '9'})
    (folder / 'labelled.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'labelled.json and .*val.json have different categories'):
      self.build(folder, **self.LABELLED)
