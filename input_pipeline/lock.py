"""Lock files with their owner's name: one process works, the others wait for it, on any number of hosts.

The file is created exclusively, which works on network file systems too, and its time is renewed as long as its owner
lives. A lock is stale if its owner was a process of this machine and is gone, or if an owner elsewhere has not renewed
it for STALE_SECONDS. If hosts' clocks differ by more than that, two processes may own a lock; so what is written under
a lock is written under a temporary name of its own, and renamed.
"""

import contextlib
import dataclasses
import datetime
import errno
import getpass
import json
import os
import platform
import threading
import time
from collections.abc import Iterator

from absl import logging

BEAT_SECONDS = 20
STALE_SECONDS = 600
POLL_SECONDS = 1


class CannotWrite(OSError):
  """A folder cannot be written to."""


@dataclasses.dataclass(frozen=True)
class Owner:
  """A process that owns a lock."""

  host: str
  machine: str  # a start of a machine, and its space of process ids: containers may have the same host name
  pid: int
  started: str | None  # of the process, in the machine's time: process ids are used again
  user: str
  since: str

  def __str__(self) -> str:
    return f'process {self.pid} of {self.user} on {self.host} since {self.since}'

  def is_stale(self, age: float) -> bool:
    """Whether a lock of this owner, last renewed `age` seconds ago, is left over."""
    if self.machine != _machine():
      return age > STALE_SECONDS
    start = _start_of(self.pid)
    return not _exists(self.pid) if start is None else start != self.started


def temporary(path: str) -> str:
  """Path beside `path` that no other process or thread writes; rename it to `path` when it is complete."""
  return f'{path}.{platform.node()}.{os.getpid()}.{threading.get_ident()}.partial'


@contextlib.contextmanager
def locked(path: str, what: str) -> Iterator[None]:
  """Holds the lock file `path`, and waits for it before if another process has it.

  Args:
    path: of the file; its folder is created if needed.
    what: that is done under the lock, for the log.

  Raises:
    CannotWrite: the folder is not writable.
  """
  me = Owner(
    platform.node(), _machine(), os.getpid(), _start_of(os.getpid()), _user(), f'{datetime.datetime.now():%F %T}'
  )
  told = False
  while not _create(path, me):
    owner, age = _read(path), _age(path)
    if owner.is_stale(age) if owner else age > STALE_SECONDS:
      _remove_stale(path, owner, what)
    elif not told:
      logging.info('Waiting for %s: %s, which %s does', path, what, owner or 'another process')
      told = True
    else:
      time.sleep(POLL_SECONDS)
  ended = threading.Event()
  beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
  beat.start()
  try:
    yield
  finally:
    ended.set()
    beat.join()
    if _read(path) == me:  # and not that of a process that took this one for dead
      _remove(path)


def _create(path: str, owner: Owner) -> bool:
  """Creates the lock file; False if it is there."""
  with _writing(os.path.dirname(path)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
      with open(path, 'x') as f:
        json.dump(dataclasses.asdict(owner), f)
    except FileExistsError:
      return False
  return True


@contextlib.contextmanager
def _writing(folder: str) -> Iterator[None]:
  """Raises CannotWrite for the errors of a folder that is not writable."""
  try:
    yield
  except OSError as error:
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
      raise
    raise CannotWrite(error.errno, error.strerror, folder) from error


def _read(path: str) -> Owner | None:
  """Owner of a lock; None if it is gone, not written yet, or may not be read."""
  try:
    with open(path) as f:
      return Owner(**json.load(f))
  except (OSError, ValueError, TypeError):
    return None


def _age(path: str) -> float:
  """Seconds since a lock was renewed; 0 if it is gone."""
  try:
    return time.time() - os.stat(path).st_mtime
  except FileNotFoundError:
    return 0


def _remove_stale(path: str, owner: Owner | None, what: str) -> None:
  """Removes a stale lock, unless another process was quicker: a rename succeeds for one of them."""
  mine = temporary(path)
  try:
    with _writing(os.path.dirname(path)):
      os.replace(path, mine)
  except FileNotFoundError:
    return
  if _read(mine) == owner:
    _remove(mine)
    logging.warning('Going on with %s: %s has ended before it was done (%s)', what, owner or 'its process', path)
  else:  # another process has removed the stale lock and made its own, which is this one
    os.replace(mine, path)


def _beat(path: str, ended: threading.Event) -> None:
  while not ended.wait(BEAT_SECONDS):
    with contextlib.suppress(OSError):
      os.utime(path)


def _remove(path: str) -> None:
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)


def _machine() -> str:
  try:
    with open('/proc/sys/kernel/random/boot_id') as f:
      return f'{f.read().strip()} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return platform.node()


def _start_of(pid: int) -> str | None:
  """Start time of a process in its system's words; '' if it has ended, None if the system does not tell."""
  try:
    with open(f'/proc/{pid}/stat') as f:
      state, *numbers = f.read().rpartition(')')[2].split()
  except OSError:
    return None
  return '' if state in 'ZX' else numbers[18]


def _exists(pid: int) -> bool:
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass
  return True


def _user() -> str:
  try:
    return getpass.getuser()
  except (KeyError, OSError):  # a container's number without a name
    return str(os.getuid())
