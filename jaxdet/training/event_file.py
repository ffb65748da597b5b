"""Writes scalars by step to an event file of TensorBoard, without TensorBoard, TensorFlow or torch.

A file is a sequence of records: length (uint64), checksum of these 8 bytes, data, checksum of the data. The data are
protocol buffers, of which scalars need five messages and seven fields:

  Event      = field 1: wall_time (double) | 2: step | 3: file_version | 5: Summary | 7: SessionLog
  Summary    = field 1, repeated: Value (field 1: tag, field 2: simple_value (float))
  SessionLog = field 1: status, 1 for the start of a session
"""

import os
import pathlib
import re
import socket
import struct
import time
from collections.abc import Mapping

import numpy as np

from jaxdet.protocol_buffers import delimited, varint

FILE_VERSION = b'brain.Event:2'
START = b'\x08\x01'  # a SessionLog


class EventFile:
  """A new event file in a folder; TensorBoard drops what older files have of the steps from `first_step` on."""

  def __init__(self, folder: pathlib.Path, first_step: int):
    folder.mkdir(parents=True, exist_ok=True)
    name = f'events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}'
    self._file = (folder / name).open('ab')
    self._write(delimited(3, FILE_VERSION))
    self._write(_number(2, first_step) + delimited(7, START))
    self._file.flush()

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes the scalars of a step by name."""
    self._write(_number(2, step) + delimited(5, summary(scalars)))
    self._file.flush()

  def close(self) -> None:
    self._file.close()

  def _write(self, fields: bytes) -> None:
    self._file.write(record(_double(1, time.time()) + fields))


def record(data: bytes) -> bytes:
  """Frames one event with its length and the checksums."""
  length = struct.pack('<Q', len(data))
  return length + struct.pack('<I', masked_crc(length)) + data + struct.pack('<I', masked_crc(data))


def summary(scalars: Mapping[str, float]) -> bytes:
  """Encodes scalars as a Summary; characters that TensorBoard does not allow in names become '_'."""
  values = ((re.sub(r'[^-/\w.]', '_', name).encode(), value) for name, value in scalars.items())
  return b''.join(delimited(1, delimited(1, tag) + _float(2, value)) for tag, value in values)


def masked_crc(data: bytes) -> int:
  """CRC-32C, rotated and shifted by a constant as records require, so that data with a checksum inside have another."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
  crc ^= 0xFFFFFFFF
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc_table() -> list[int]:
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, bits reversed
    table.append(byte)
  return table


CRC_TABLE = _crc_table()


def _number(field: int, value: int) -> bytes:
  return bytes((field << 3,)) + varint(value)


def _double(field: int, value: float) -> bytes:
  return bytes((field << 3 | 1,)) + struct.pack('<d', value)


def _float(field: int, value: float) -> bytes:
  with np.errstate(over='ignore'):  # what is too large for float32 is infinite
    return bytes((field << 3 | 5,)) + np.float32(value).tobytes()
