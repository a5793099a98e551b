"""Facts that count: lines that end in a number, as the kernel's aer_dev_* files, or a number alone."""

from __future__ import annotations

from collections.abc import Iterator

_DIGITS = 18  # what is longer is no count, and fits no event


def numbers(content: bytes | None) -> Iterator[tuple[str, int]]:
    """Each line's name, which may have blanks and is empty before a number alone, and its number; other lines are left out."""
    for line in (content or b"").decode("ascii", "replace").splitlines():
        name, _, number = line.strip().rpartition(" ")
        if number.isascii() and number.isdecimal() and len(number) <= _DIGITS:
            yield name.strip(), int(number)
