"""Configuration space as text, in the form of `lspci -xxxx`: what capture.py reads back."""

from __future__ import annotations

from collections.abc import Mapping

from pcifma.regs.bdf import Bdf


def format_device(bdf: Bdf, title: str, rows: Mapping[int, bytes]) -> str:
    """The lines of one Function, its rows in order, and an empty line. *rows* as ImageSpace.rows gives them."""
    lines = [f"{bdf} {title}", *(f"{offset:02x}: {row.hex(' ')}" for offset, row in sorted(rows.items()))]
    return "\n".join(lines) + "\n\n"


def split_rows(data: bytes) -> dict[int, bytes]:
    """*data* from offset 0 as rows of 16 bytes."""
    return {offset: data[offset : offset + 16] for offset in range(0, len(data), 16)}
