"""Streams the entries of the lists of a large JSON file, without the rest of it in memory."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, TextIO

from jaxdet.annotations.text_file import open_text

PART = 2**20  # characters read at once
LONGEST_TOKEN = 16  # characters: an error so close to the end of a part may be a token that was cut
LONGEST_TAIL = 3  # characters by which a number may go on after what could be its end: 1 and e+2
SPACE = re.compile(r'[ \t\n\r]*')


class LacksLists(ValueError):
  """The file is no object with the lists of an annotation file: it may be JSON of another kind."""


class RepeatedKeys(dict):
  """A JSON object in which a key stands twice, where readers of JSON differ; has the last values."""

  def __init__(self, pairs: list[tuple[str, Any]]):
    super().__init__(pairs)
    keys = [key for key, _ in pairs]
    self.repeated = next(key for key in keys if keys.count(key) > 1)


def json_entries(path: str, names: Collection[str]) -> Iterator[tuple[str, Any]]:
  """Yields (name, entry) of the lists `names` at the top level of a file, in the file's order.

  Raises:
    LacksLists: the file is no object with these lists.
    ValueError: the file is not JSON, is cut off, or has one of the lists twice; the message names the file and the byte
      or the list. See also `open_text`.
  """
  with open_text(path) as file:
    parser = _Parser(file, path)
    if parser.next() != '{':
      if parser.next() == '[':
        raise LacksLists(f'{path} is a list: an annotation file is {{"images": [..], "annotations": [..], ..}}')
      parser.fail('its top level is no JSON object: an annotation file is {"images": [..], "annotations": [..], ..}')
    seen = set()
    for name in parser.keys():
      if name in names and name in seen:
        raise ValueError(f"{path} has the list '{name}' twice: join them")
      seen.add(name)
      if parser.next() == '[':
        for entry in parser.elements():
          if name in names:
            yield name, entry
      elif name in names:
        raise LacksLists(f"{path}: '{name}' is no list: is it an annotation file of LVIS or COCO?")
      else:
        parser.value()
    parser.end()
  if lacking := [name for name in names if name not in seen]:
    raise LacksLists(f'{path} has no {lacking[0]}: is it an annotation file of LVIS or COCO?')


def json_list(path: str) -> Iterator[Any]:
  """Yields the entries of a file that is one list; raises the same errors as `json_entries`."""
  with open_text(path) as file:
    parser = _Parser(file, path)
    if parser.next() != '[':
      parser.fail('its top level is no list')
    yield from parser.elements()
    parser.end()


def _object(pairs: list[tuple[str, Any]]) -> dict:
  found = dict(pairs)
  return found if len(found) == len(pairs) else RepeatedKeys(pairs)


class _Parser:
  """Parses a file value by value; its text is read in parts."""

  def __init__(self, file: TextIO, path: str):
    self._file, self._path = file, path
    self._text, self._at = '', 0
    self._before = 0  # bytes before `_text`
    self._ended = False
    self._decode = json.JSONDecoder(object_pairs_hook=_object).raw_decode

  def next(self) -> str:
    """Next character that is no space, which is not consumed; '' at the end of the file."""
    while True:
      self._at = SPACE.match(self._text, self._at).end()
      if self._at < len(self._text) or self._ended:
        return self._text[self._at : self._at + 1]
      self._read()

  def keys(self) -> Iterator[str]:
    """Yields the keys of an object; the caller consumes the value of each."""
    for _ in self._separated('{', '}'):
      if self.next() != '"':
        self.fail('a key in quotes is expected')
      key = self.value()
      if self.next() != ':':
        self.fail("':' is expected")
      self._at += 1
      yield key

  def elements(self) -> Iterator[Any]:
    """Yields the values of a list."""
    for _ in self._separated('[', ']'):
      yield self.value()

  def _separated(self, begin: str, end: str) -> Iterator[None]:
    """Consumes the brackets and commas around values."""
    assert self.next() == begin
    self._at += 1
    if self.next() == end:
      self._at += 1
      return
    while True:
      yield
      mark = self.next()
      if mark not in (',', end):
        self.fail(f"',' or '{end}' is expected")
      self._at += 1
      if mark == end:
        return

  def value(self) -> Any:
    """Consumes the next value."""
    while True:
      self.next()
      try:
        value, end = self._decode(self._text, self._at)
      except json.JSONDecodeError as error:
        cut = error.pos > len(self._text) - LONGEST_TOKEN or error.msg.startswith('Unterminated string')
        if self._ended or not cut:
          self.fail(error.msg, len(self._text) if error.msg.startswith('Unterminated string') else error.pos)
      except RecursionError:
        raise ValueError(f'{self._path}: brackets are nested too deep: is it an annotation file?') from None
      except ValueError as error:  # an integer of thousands of digits
        self.fail(str(error))
      else:
        if end <= len(self._text) - LONGEST_TAIL or self._ended:
          self._at = end
          return value
      self._read()

  def end(self) -> None:
    """Refuses what follows the last value."""
    if self.next():
      self.fail('something follows the end of its JSON')

  def fail(self, reason: str, at: int | None = None) -> None:
    at = self._at if at is None else at
    byte = self._before + _bytes(self._text[:at])
    if self._ended and not self._text[at:].strip():
      raise ValueError(f'{self._path} ends at byte {byte} before its JSON does: was the download interrupted?')
    near = self._text[max(at - 30, 0) : at + 30]
    raise ValueError(f'{self._path} is not valid JSON at byte {byte}, in {near!r}: {reason}')

  def _read(self) -> None:
    """Reads on, at least as much as is left, so that a long value is parsed a few times alone."""
    left = self._text[self._at :]
    more = self._file.read(max(PART, len(left)))
    self._ended = not more
    self._before += _bytes(self._text[: self._at])
    self._text, self._at = left + more, 0


def _bytes(text: str) -> int:
  return len(text) if text.isascii() else len(text.encode())
