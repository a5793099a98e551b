"""Rows of the ledger of register writes, as JSON and as lines: for `writes`, `clear` and `sweep --clear`."""

from __future__ import annotations

from pcifma.cli.text import clean
from pcifma.event.identity import utc
from pcifma.event.written import WriteLine
from pcifma.fmd.log.batch import RegisterWrite

TITLE = f"{'TIME':<30} {'FUNCTION':<13} {'REGISTER':<15} {'WRITTEN':<8} {'BEFORE':<8}    {'AFTER':<8} WHY"


def record(row: RegisterWrite) -> WriteLine:
    """*row* as contract 7 has it."""
    return WriteLine(
        id=row.id,
        time=utc(row.wall_ns),
        boot=row.boot,
        device=row.device,
        register=row.register,
        width=row.width,
        before=row.before,
        written=row.value,
        after=row.after,
        outcome=row.outcome,
        why=row.why,
        ereports=list(row.ereports),
        case=row.case,
        command=row.command,
        uid=row.uid,
        pid=row.pid,
    )


def line(row: RegisterWrite) -> str:
    """*row* for people, under TITLE."""
    words = (_word(row, value) for value in (row.value, row.before, row.after))
    written, before, after = words
    what = f"{utc(row.wall_ns):<30} {row.device:<13} {row.register:<15} {written:<8} {before:<8} -> {after:<8}"
    return f"{what} {clean(reason(row))}"


def reason(row: RegisterWrite) -> str:
    """Why it was written and by whom, or why it was not."""
    who = f" by uid {row.uid} pid {row.pid}" if row.uid is not None else ""
    cause = f"{row.command}{f' (case {row.case[:8]})' if row.case else ''}{who}" if row.command else "logged"
    ereports = f", ereport {row.ereports[0]}" if row.ereports else ""
    more = f" and {len(row.ereports) - 1} more" if len(row.ereports) > 1 else ""
    still = "still set: " if row.after is not None and row.after & row.value else ""
    said = {"done": still, "clear": "clear by then, nothing written: "}.get(row.outcome, f"{row.why}: ")
    return f"{said}{cause}{ereports}{more}"


def _word(row: RegisterWrite, value: int | None) -> str:
    return "?" if value is None else f"{value:0{2 * row.width}x}"
