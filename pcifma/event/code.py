"""Message codes as illumos makes them: `PCIEX-8000-0A` from a dictionary's name and a number (facts: FMD message IDs)."""

from __future__ import annotations

from pcifma.event.identity import name_uuid

ALPHABET = "0123456789ACDEFGHJKLMNPQRSTUVWXY"  # no B, I, O, Z
_POLYNOMIAL = 0x04C11DB7
_TYPE = 0b01
# Data bits and checksum bits of each size class; a number is reduced by the ranges before its own.
_SIZES = ((21, 5), (38, 8), (55, 11), (72, 14))


def message_code(dictionary: str, number: int) -> str:
    """The code of entry *number* (from 0) of *dictionary*; ValueError if it is negative or too large."""
    rest = number
    for size, (data_bits, check_bits) in enumerate(_SIZES):
        if 0 <= rest < 1 << data_bits:
            return f"{dictionary}-{_text(dictionary, (_TYPE << 2 | size) << data_bits | rest, data_bits + 4, check_bits)}"
        rest -= 1 << data_bits
    raise ValueError(f"{number} is no message number")


def message_id(kind: str) -> str:
    """The journal's MESSAGE_ID of everything that is said under *kind*, a message code or a word: 32 hex digits, the same for ever."""
    return name_uuid(f"message\0{kind}").replace("-", "")


def _text(dictionary: str, head: int, head_bits: int, check_bits: int) -> str:
    symbols = (head_bits + check_bits) // 5
    value = head << check_bits
    value |= _checksum(dictionary, value, symbols) & (1 << check_bits) - 1
    text = "".join(ALPHABET[value >> 5 * (symbols - 1 - i) & 31] for i in range(symbols))
    body = text[:-2]
    return "-".join([*(body[i : i + 4] for i in range(0, len(body), 4)), text[-2:]])


def _checksum(dictionary: str, value: int, symbols: int) -> int:
    crc = 0
    for byte in dictionary.upper().encode():
        crc = _feed(crc, byte)
    for i in range(symbols):
        crc = _feed(crc, value >> 5 * (symbols - 1 - i) & 31)  # a symbol goes in as a byte
    return crc


def _feed(crc: int, value: int) -> int:
    for i in reversed(range(8)):
        top = crc >> 31 ^ value >> i & 1
        crc = (crc << 1 & 0xFFFFFFFF) ^ (_POLYNOMIAL if top else 0)
    return crc
