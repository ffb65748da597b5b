"""Encodes fields of protocol buffers: what TensorBoard's events and TensorFlow's examples have in common."""


def delimited(field: int, payload: bytes) -> bytes:
  """A field of text, bytes or a message; field numbers are below 16."""
  return bytes((field << 3 | 2,)) + varint(len(payload)) + payload


def varint(number: int) -> bytes:
  """An integer of 64 bits in groups of seven, the lowest first; negative ones as two's complement."""
  number &= 0xFFFFFFFFFFFFFFFF
  groups = bytearray()
  while number > 0x7F:
    groups.append(number & 0x7F | 0x80)
    number >>= 7
  groups.append(number)
  return bytes(groups)
