"""Two tables of categories agree if every label has the same id and the same name in both."""

import pytest

from jaxdet.annotations.same_categories import BOTH, IDS, NAMES, Table, check_same_categories, differing_labels
from jaxdet.structures import Category


def table(*rows: tuple[int, str]) -> list[Category]:
  return [Category(id, name) for id, name in rows]


PETS = table((1, 'cat'), (2, 'dog'), (5, 'traffic light'))


def message(second, by=BOTH, first=PETS, **how) -> str:
  with pytest.raises(ValueError) as error:
    check_same_categories(Table(first, 'a.json'), Table(second, 'b.json'), by, **how)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  'second, both, ids, names',
  [
    (PETS, [], [], []),
    (table((1, 'dog'), (2, 'cat'), (5, 'traffic light')), [0, 1], [], [0, 1]),
    (table((1, 'cat'), (3, 'dog'), (5, 'traffic light')), [1], [1], []),
    (table((1, 'cat'), (2, 'dog'), (5, 'traffic_light')), [2], [], [2]),
    (table((1, 'Cat'), (2, 'dog '), (6, 'traffic light')), [0, 1, 2], [2], [0, 1]),
    (PETS[:1], [1, 2], [1, 2], [1, 2]),
    ([], [0, 1, 2], [0, 1, 2], [0, 1, 2]),
    ([*PETS, Category(9, 'bus')], [3], [3], [3]),
  ],
)
def test_labels_that_differ(second, both, ids, names):
  assert differing_labels(PETS, second) == both == differing_labels(second, PETS)
  assert differing_labels(PETS, second, IDS) == ids
  assert differing_labels(PETS, second, NAMES) == names


def test_frequencies_and_counts_are_no_part_of_the_meaning():
  check_same_categories(Table(PETS, 'a'), Table([Category(c.id, c.name, 'r', 7) for c in PETS], 'b'), BOTH)


def test_the_message_has_both_files_the_first_difference_and_the_number():
  text = message(table((1, 'dog'), (2, 'cat'), (5, 'traffic light')))
  assert text.startswith(
    "a.json and b.json have different categories: label 0 is 'cat' (id 1) in the first and 'dog' (id 1) in the second; "
    '2 of 3 labels differ. '
  )


@pytest.mark.parametrize(
  'second, way_out',
  [
    (
      table((1, 'cat'), (2, 'hound'), (5, 'traffic light')),
      "if only the spelling changed, set data.compare_categories='ids'",
    ),
    (
      table((1, 'dog'), (2, 'cat'), (5, 'traffic light')),
      'The same names have other ids: write both files with one table',
    ),
    (table((1, 'cat'), (3, 'hound'), (5, 'traffic light')), 'Ids and names differ: use files with one table'),
    (PETS[:2], '3 categories are never the same as 2: use files with one table'),
  ],
)
def test_the_message_says_what_to_do(second, way_out):
  assert way_out in message(second)


def test_other_names_are_accepted_by_ids_and_other_ids_by_names():
  renamed, renumbered = (
    table((1, 'cat'), (2, 'hound'), (5, 'light')),
    table((1, 'cat'), (2, 'dog'), (3, 'traffic light')),
  )
  check_same_categories(Table(PETS, 'a'), Table(renamed, 'b'), IDS)
  check_same_categories(Table(PETS, 'a'), Table(renumbered, 'b'), NAMES, ids_matter=False)
  assert "set data.compare_categories='names'" in message(renumbered, ids_matter=False)
  assert 'label 2' in message(renumbered, IDS) and 'label 1' in message(renamed, NAMES, ids_matter=False)


def test_files_of_a_run_need_the_same_ids_even_if_names_are_compared():
  text = message(table((1, 'cat'), (2, 'dog'), (3, 'traffic light')), NAMES)
  assert 'give them the same ids, by which results name categories' in text


def test_two_unicode_forms_of_a_name_are_two_names_and_shown_apart():
  text = message(table((1, 'cafe\u0301')), first=table((1, 'caf\u00e9')))
  assert r"label 0 is 'caf\xe9' (id 1) in the first and 'cafe\u0301' (id 1) in the second" in text
  assert 'the same text in two Unicode forms' in text


def test_a_label_that_one_table_lacks_is_not_there():
  assert "label 2 is 'traffic light' (id 5) in the first and not there in the second" in message(PETS[:2])
  assert 'label 0 is not there in the first' in message(PETS, first=[])


def test_advice_ends_the_message():
  assert message(PETS[:2], advice='or train in another workdir').endswith('; or train in another workdir')


def test_an_unknown_choice():
  assert message(PETS, 'name') == "unknown data.compare_categories 'name': choose 'ids_and_names', 'ids' or 'names'"
