"""The tables of the long-tail experiment, and what its runs may share."""

import json

import pytest

from scripts import long_tail


def run(**metrics) -> dict:
  scores = {'AP': 10.0, 'APr': 1.0, 'APc': 8.0, 'APf': 20.0} | metrics
  return {'bbox': scores, 'segm': scores}


def test_a_spread_has_the_mean_the_deviation_of_a_sample_and_the_range():
  assert long_tail.spread([1.0, 2.0, 6.0]) == '3.0 ± 2.6 (1.0 to 6.0)'  # sqrt((4 + 1 + 9) / 2) = 2.646


def test_the_spread_of_one_run_is_its_value():
  assert long_tail.spread([4.25], sign='+') == '+4.2'


def test_scores_stand_in_a_line_a_variant():
  scores = {'none': {0: run(APr=1.0), 1: run(APr=3.0)}, 'rfs': {0: run()}}
  head, _, none, rfs = long_tail.score_table(scores, 'segm').splitlines()
  assert head == '|  | AP | APr | APc | APf |'
  assert none.startswith('| `none` | 10.0 ± 0.0 (10.0 to 10.0) | 2.0 ± 1.4 (1.0 to 3.0) | 8.0 ±')
  assert rfs == '| `rfs` | 10.0 | 1.0 | 8.0 | 20.0 |'


def test_differences_are_taken_between_runs_of_the_same_seed():
  scores = {'none': {0: run(AP=10.0), 1: run(AP=20.0)}, 'rfs': {0: run(AP=11.0), 1: run(AP=23.0), 2: run(AP=99.0)}}
  lines = long_tail.difference_table(scores, 'bbox').splitlines()
  assert len(lines) == 3  # none is not compared with itself
  assert '+2.0 ± 1.4 (+1.0 to +3.0)' in lines[2]


def test_groups_are_counted_by_the_training_images_and_their_objects_in_both_splits():
  categories = [{'id': k, 'frequency': f, 'image_count': n} for k, f, n in ((1, 'r', 3), (2, 'c', 40), (3, 'f', 200))]
  categories.append({'id': 4, 'frequency': 'r', 'image_count': 9})
  train = {'categories': categories, 'annotations': [{'category_id': k} for k in (1, 4, 4, 2, 3)]}
  val = {'annotations': [{'category_id': k} for k in (4, 3, 3)]}
  assert long_tail.group_table(train, val).splitlines()[2:] == [
    '| rare | 2 | 3 to 9 | 3 | 1 |',
    '| common | 1 | 40 to 40 | 1 | 0 |',
    '| frequent | 1 | 200 to 200 | 1 | 2 |',
  ]


def test_the_page_keeps_what_stands_round_its_tables():
  page = f'before\n{long_tail.BEGIN}\nold\n{long_tail.END}\nafter'
  assert long_tail.replace_part(page, 'new') == f'before\n{long_tail.BEGIN}\n\nnew\n\n{long_tail.END}\nafter'


def test_a_page_without_marks_is_refused():
  with pytest.raises(ValueError, match='long_tail.md has no lines'):
    long_tail.replace_part('text', 'new')


def test_the_marks_are_in_the_page_of_the_project():
  assert long_tail.BEGIN in long_tail.PAGE.read_text() and long_tail.END in long_tail.PAGE.read_text()


def test_runs_that_are_not_done_are_named(tmp_path):
  for name in long_tail.VARIANTS:
    (tmp_path / name / '0').mkdir(parents=True)
    (tmp_path / name / '0' / 'metrics.json').write_text(json.dumps(run()))
  (tmp_path / 'rfs' / '1').mkdir()  # under way
  assert 'All' in long_tail.missing(long_tail.read_scores(tmp_path, [0]), [0])
  assert 'rfs 1' in long_tail.missing(long_tail.read_scores(tmp_path, [0, 1]), [0, 1])


def test_a_folder_of_runs_of_another_length_is_refused(tmp_path):
  long_tail.check_budget(tmp_path / 'budget.json', 400)
  long_tail.check_budget(tmp_path / 'budget.json', 400)
  with pytest.raises(ValueError, match='runs of 400 steps, not 300'):
    long_tail.check_budget(tmp_path / 'budget.json', 300)


def test_the_start_sees_no_image_with_a_category_of_the_long_tailed_set():
  annotations = {
    'images': [{'id': 1}, {'id': 2}, {'id': 3}],
    'annotations': [{'image_id': 1, 'category_id': 48}, {'image_id': 1, 'category_id': 49}]
    + [{'image_id': 2, 'category_id': 49}],
    'categories': ['all'],
  }
  left = long_tail.without_categories(annotations)
  assert [image['id'] for image in left['images']] == [2, 3]
  assert left['annotations'] == [{'image_id': 2, 'category_id': 49}]
  assert left['categories'] == ['all']


@pytest.mark.parametrize('name', long_tail.VARIANTS)
def test_a_variant_changes_what_it_names_and_nothing_else(name, tmp_path):
  base = long_tail.run_config(tmp_path, 'none', 1, 400).to_dict()
  config = long_tail.run_config(tmp_path, name, 1, 400).to_dict()
  changed = {key for key, value in flat(config).items() if flat(base).get(key) != value}
  named = tuple(long_tail.VARIANTS[name])
  if name in long_tail.CONTINUES:
    named += ('train.steps', 'train.checkpoint_every', 'train.init_from', 'train.schedule')
  assert all(key.startswith(named) for key in changed), changed
  assert bool(changed) == (name != 'none')


def test_the_seed_of_a_run_leaves_the_data_alone(tmp_path):
  first, second = (long_tail.run_config(tmp_path, 'none', seed, 400) for seed in (0, 1))
  assert first.data == second.data and first.data.name == 'lvis'
  assert (first.seed, second.seed) == (0, 1)


def test_the_calibration_goes_on_from_the_run_with_the_same_seed(tmp_path):
  config = long_tail.run_config(tmp_path, 'rfs+cosine+disalign', 2, 400)
  assert config.train.init_from == str(tmp_path / 'rfs+cosine' / '2')
  assert config.train.steps == 40


def flat(tree: dict, prefix: str = '') -> dict:
  leaves = {}
  for key, value in tree.items():
    leaves |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
  return leaves
