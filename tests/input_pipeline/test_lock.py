"""Locks between processes: who waits for whom, and what happens to those that end without a word."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from input_pipeline import lock
from input_pipeline.lock import Owner, locked


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(lock, 'POLL_SECONDS', 0.01)


@pytest.fixture
def path(tmp_path):
  return str(tmp_path / 'records' / 'train.lock')


def owner(**changes) -> Owner:
  """This process, or one that differs."""
  me = Owner('here', lock._machine(), os.getpid(), lock._start_of(os.getpid()), 'ann', '2026-01-02 03:04:05')
  return dataclasses.replace(me, **changes)


def leave(path: str, who: Owner, age: float = 0):
  """A lock file of another process, renewed `age` seconds ago."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w') as f:
    json.dump(dataclasses.asdict(who), f)
  os.utime(path, (time.time() - age,) * 2)


def test_the_file_names_its_owner_and_goes_with_the_lock(path):
  with locked(path, 'work'):
    with open(path) as f:
      found = json.load(f)
    assert found['pid'] == os.getpid() and found['user'] and found['host'] and found['since']
  assert os.listdir(os.path.dirname(path)) == []


def test_it_goes_with_an_error_too(path):
  with pytest.raises(KeyboardInterrupt), locked(path, 'work'):
    raise KeyboardInterrupt
  assert not os.path.exists(path)


def test_others_wait_and_say_for_whom_in_one_line(path, caplog):
  leave(path, owner())
  entered = threading.Event()

  def wait():
    with locked(path, 'making records'):
      entered.set()

  with caplog.at_level(logging.INFO, logger='absl'):
    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    assert not entered.is_set()
    os.remove(path)
    waiting.join(10)
  assert entered.is_set()
  assert caplog.messages == [
    f'Waiting for {path}: making records, which process {os.getpid()} of ann on here since 2026-01-02 03:04:05 does'
  ]


@pytest.mark.parametrize(
  ('who', 'age'),
  [
    ({'started': '1'}, 0),  # its process id is another process's now
    ({'machine': 'elsewhere'}, 700),
    ({'machine': 'elsewhere', 'pid': 1}, 700),
  ],
)
def test_a_stale_lock_is_taken_over_with_a_line(path, caplog, who, age):
  leave(path, owner(**who), age)
  with caplog.at_level(logging.INFO, logger='absl'), locked(path, 'making records'):
    with open(path) as f:
      assert json.load(f)['since'] != '2026-01-02 03:04:05'
    assert os.listdir(os.path.dirname(path)) == ['train.lock']
  (message,) = caplog.messages
  assert message.startswith('Going on with making records: process') and 'has ended before it was done' in message


def test_the_lock_of_a_killed_process_is_taken_over_at_once(path):
  program = 'import sys, time; from input_pipeline.lock import locked\n'
  program += 'with locked(sys.argv[1], "work"): print("locked", flush=True); time.sleep(60)'
  with subprocess.Popen([sys.executable, '-c', program, path], stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == 'locked\n'
    killed_unseen = threading.Timer(0.2, process.kill)  # a zombie until it is waited for
    killed_unseen.start()
    start = time.monotonic()
    with locked(path, 'work'):
      assert 0.1 < time.monotonic() - start < 10


@pytest.mark.parametrize(
  ('who', 'age'), [({}, 700), ({'machine': 'elsewhere'}, 500), ({'machine': 'elsewhere', 'pid': 4_000_000}, 0)]
)
def test_an_owner_that_lives_or_may_live_keeps_its_lock(who, age):
  assert not owner(**who).is_stale(age)


def test_a_file_that_is_not_written_yet_is_a_lock(path, caplog):
  os.makedirs(os.path.dirname(path))
  open(path, 'w').close()
  threading.Timer(0.2, os.remove, [path]).start()
  with caplog.at_level(logging.INFO, logger='absl'), locked(path, 'work'):
    assert caplog.messages == [f'Waiting for {path}: work, which another process does']


def test_an_owner_renews_its_lock(path, monkeypatch):
  monkeypatch.setattr(lock, 'BEAT_SECONDS', 0.01)
  with locked(path, 'work'):
    os.utime(path, (0, 0))
    until = time.monotonic() + 10
    while os.stat(path).st_mtime < 1 and time.monotonic() < until:
      time.sleep(0.01)
    assert time.time() - os.stat(path).st_mtime < 60


def test_a_lock_that_another_has_taken_over_is_left_to_it(path):
  with locked(path, 'work'):
    leave(path, owner(pid=1))
  assert os.path.exists(path)


def test_who_takes_a_new_lock_for_a_stale_one_gives_it_back(path):
  leave(path, owner(since='new'))
  lock._remove_stale(path, owner(since='stale'), 'work')
  with open(path) as f:
    assert json.load(f)['since'] == 'new'


def test_a_folder_that_is_not_writable(path, monkeypatch):
  def closed(*args, **kw):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(os, 'makedirs', closed)
  with pytest.raises(lock.CannotWrite, match=r'\[Errno 13\] Permission denied: .*records'), locked(path, 'work'):
    pass
