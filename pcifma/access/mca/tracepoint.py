"""The kernel's tracepoint of machine checks, and what may be listened to beside it."""

from __future__ import annotations

from pcifma.access.event_trace import EventTrace, Wanted, opened
from pcifma.access.seam import MCE_RECORD
from pcifma.errors import SourceError

TRACEPOINT = Wanted(MCE_RECORD, "mce/mce_record", "mce", "machine checks")


def optional(wanted: Wanted | None) -> EventTrace | None:
    """*wanted*, listened to; None where it cannot be."""
    if wanted is None:
        return None
    try:
        return opened(wanted)
    except (SourceError, ValueError):
        return None
