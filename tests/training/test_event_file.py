"""TensorBoard's files, byte for byte as tensorboardX 2.6.5 writes the same events."""

import time

import pytest

from jaxdet.training.event_file import EventFile, masked_crc, summary

# Events of the version, of the session's start at step 300, and of two scalars at step 70000.
RECORDED = bytes.fromhex(
  '1800000000000000a37f4b22090000000000448f401a0d627261696e2e4576656e743a32aba33345'
  '100000000000000095fbfe18090000000000448f4010ac023a020801e1133350'
  '31000000000000009d8383e9090000000000448f4010f0a2042a220a110a0a6c6f73732f746f74616c15cdcccc3d'
  '0a0d0a0641525f333030150000c07f28a4ef7f'
)


def test_the_bytes_are_those_of_another_writer(tmp_path, monkeypatch):
  monkeypatch.setattr(time, 'time', lambda: 1000.5)
  events = EventFile(tmp_path / 'tensorboard', first_step=300)
  events.write(70000, {'loss/total': 0.1, 'AR@300': float('nan')})
  [file] = (tmp_path / 'tensorboard').iterdir()
  assert file.name.startswith('events.out.tfevents.0000001000.')
  assert file.read_bytes() == RECORDED  # before the file is closed: TensorBoard shows a run that goes on
  events.close()


def test_the_checksum_is_crc_32c():
  crc = masked_crc(b'123456789') - 0xA282EAD8 & 0xFFFFFFFF
  assert (crc << 15 | crc >> 17) & 0xFFFFFFFF == 0xE3069283  # of the standard's example


@pytest.mark.parametrize('value, stored', [(1e39, '0000807f'), (-1e39, '000080ff'), (0.5, '0000003f')])
def test_what_is_too_large_for_float32_is_infinite(value, stored):
  assert summary({'a': value}).hex().endswith(stored)
