"""Collects entries by their ids, which must be unique."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from jaxdet.annotations.fields import Mismatch, integer
from jaxdet.annotations.problems import Problems


class HasId(Protocol):
  id: int


T = TypeVar('T', bound=HasId)


class UniqueIds(Generic[T]):
  """Entries of a list by id.

  Args:
    kind: of entry, such as 'image'.
    parse: parses an entry by (entry, position in the list, problems); None: it has problems.
    problems: gets those of entries, and ids that are used twice.

  Attributes:
    count: number of entries.
    found: those without problems, in the file's order.
    unread: ids of those with problems, so that what refers to them is no further problem.
  """

  def __init__(self, kind: str, parse: Callable[[Any, int, Problems], T | None], problems: Problems):
    self._kind, self._parse, self._problems = kind, parse, problems
    self.count = 0
    self.found: dict[int, T] = {}
    self.unread: set[int] = set()

  def add(self, entry: Any) -> None:
    """Parses the next entry."""
    parsed = self._parse(entry, self.count, self._problems)
    self.count += 1
    if parsed is None:
      self._remember(entry)
    elif parsed.id in self.found:
      self._problems.add(f'{self._kind} id {parsed.id} is defined twice: ids must be unique')
    else:
      self.found[parsed.id] = parsed

  def _remember(self, entry: Any) -> None:
    try:
      self.unread.add(integer(entry['id']))
    except (Mismatch, KeyError, TypeError):
      pass
