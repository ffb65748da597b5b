"""Annotation files as text: packing, coding, JSON as a whole; training and evaluation read and refuse alike."""

import gzip
import json
import os
import re

import pytest

import annotation_files
from jaxdet.annotations import columns
from jaxdet.annotations.json_stream import json_entries, json_list
from jaxdet.evaluation.ground_truth import load_ground_truth

GOOD = json.dumps(annotation_files.lvis())


def write(tmp_path, content, name='a.json'):
  (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
  return str(tmp_path / name)


def refused(path):
  """The message of both readers, which names the file."""
  messages = []
  for read in (columns.read, load_ground_truth):
    with pytest.raises(ValueError) as error:
      read(path)
    messages.append(str(error.value))
  assert messages[0] == messages[1] and messages[0].startswith(path) and '\n' not in messages[0]
  return messages[0].removeprefix(path)


@pytest.mark.parametrize('name', ['a.json', 'a.json.gz', 'a.txt'])
@pytest.mark.parametrize(
  'content',
  [
    GOOD.encode(),
    gzip.compress(GOOD.encode()),
    b'\xef\xbb\xbf' + GOOD.encode(),
    gzip.compress(b'\xef\xbb\xbf' + GOOD.encode()),
    GOOD.replace(', ', ',\r\n').encode(),
    GOOD.replace('zebra', 'zébra Ω').encode(),
  ],
  ids=['plain', 'gzip', 'BOM', 'BOM in gzip', 'CRLF', 'UTF-8'],
)
def test_the_content_says_how_a_file_is_packed_and_coded_not_its_name(tmp_path, content, name):
  path = write(tmp_path, content, name)
  assert columns.read(path).counts['objects'] == len(load_ground_truth(path).image) == 3
  assert columns.read(path).categories[2].name.startswith('z')


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (GOOD.encode('utf-16'), ' is in UTF-16 or UTF-32: convert the file to UTF-8'),
    (GOOD.encode('utf-16-be'), ' is in UTF-16 or UTF-32: convert'),
    (GOOD.encode('utf-32-le'), ' is in UTF-16 or UTF-32: convert'),
    (
      GOOD.replace('zebra', 'z\xe9bra').encode('latin-1'),
      ' is not UTF-8: byte 0xe9 at 1030: convert the file to UTF-8',
    ),
    (b'PK\x03\x04' + GOOD.encode(), ' is packed with zip: unpack it, or pack it with gzip'),
    (gzip.compress(GOOD.encode())[:-9], ' before its gzip data do'),
    (gzip.compress(GOOD.encode()) + b'more', 'or is damaged (Not a gzipped file'),
    (gzip.compress(GOOD.encode())[:-8] + bytes(8), 'or is damaged (CRC check failed'),
    (GOOD[:-1], ' ends at byte 1200 before its JSON does'),
    (GOOD[:1040], ' ends at byte 1040 before its JSON does'),
    ('', ' ends at byte 0 before its JSON does'),
    (GOOD + 'x', ' is not valid JSON at byte 1201, in .*: something follows the end of its JSON'),
    (GOOD.replace('"', "'"), ' is not valid JSON at byte 1, in .*: a key in quotes is expected'),
    (GOOD.replace('"area": 16', '"area": 0x10'), ' is not valid JSON at byte 814, in'),
    (GOOD.replace('"area": 16', '"area": ' + '1' * 5000), 'Exceeds the limit'),
    (f'[{GOOD}]', ' is a list: an annotation file is {.*'),
    ('5', ' is not valid JSON at byte 0, in .*: its top level is no JSON object'),
    ('{"info": ' + '[' * 10**6, ': brackets are nested too deep'),
    ('{"info": ' + '{"a":' * 10**6, ': brackets are nested too deep'),
    (GOOD.replace('"area": 16', '"area": ' + '[' * 10**5 + ']' * 10**5), ': brackets are nested too deep'),
    (GOOD[:-1] + ', "images": []}', " has the list 'images' twice: join them"),
    (
      GOOD.replace('"images": [', '"images": {"a": [').replace('}], "annotations"', '}]}, "annotations"'),
      ": 'images' is no list",
    ),
    ('{"images": [], "categories": []}', ' has no '),
  ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_refused_with_the_byte_or_the_list(tmp_path, content, message):
  assert re.search(message.replace('(', r'\('), refused(write(tmp_path, content)))


@pytest.mark.parametrize('name', ['images', 'annotations', 'categories'])
def test_all_three_lists_are_needed(tmp_path, name):
  content = annotation_files.lvis()
  del content[name]
  assert (
    refused(annotation_files.write(tmp_path, content)) == f' has no {name}: is it an annotation file of LVIS or COCO?'
  )


def test_pipes_and_folders_are_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / 'pipe.json')
  for path in (tmp_path, tmp_path / 'pipe.json'):
    assert refused(str(path)) == ' is no regular file: name a file'


def test_missing_files_are_named(tmp_path):
  for read in (columns.read, load_ground_truth):
    with pytest.raises(FileNotFoundError, match='nothing.json'):
      read(str(tmp_path / 'nothing.json'))


@pytest.mark.parametrize('part', [1, 2, 3, 5, 7, 11, 100])
def test_entries_that_reach_over_parts_are_read_whole(tmp_path, monkeypatch, part):
  monkeypatch.setattr('jaxdet.annotations.json_stream.PART', part)
  path = write(tmp_path, GOOD.replace('zebra', r'z\"é\\}]{[, \u00e9'))
  names = ('images', 'categories', 'annotations')
  content = json.loads(open(path).read())
  assert [entry for name in ('images', 'annotations', 'categories') for entry in content[name]] == [
    entry for _, entry in json_entries(path, names)
  ]
  numbers = [1, -2.5e-30, 12345678901234567890, 1.5, 2e30, True, None, 'a', [[]], {}, 7]
  assert list(json_list(write(tmp_path, json.dumps(numbers), 'list.json'))) == numbers
