"""Hearsay: messages that repeat what their source has logged, messages of nobody, and silence that somebody else has caused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pcifma.plugin import Fabric

from .address import find
from .evidence import Seen
from .exercise import Verdict
from .gathering import Kept
from .place import path

CONTAINED = "ereport.io.pciex.dpc.trig"
ROOT_COMPLEX = "ereport.io.pciex.rc."


def followers(kept: Sequence[Kept]) -> dict[str, str]:
    """Messages that repeat what their source has logged, and so tell nothing more: uuid, and source."""
    messages = {one.event.uuid: one.seen.named["source"] for one in kept if _is_message(one.seen)}
    spoke = {one.event.device for one in kept if one.event.uuid not in messages and one.event.severity != "info"}
    return {uuid: source for uuid, source in messages.items() if source in spoke}


def _is_message(one: Seen) -> bool:
    # Message bits of Root Error Status, and a trigger of Downstream Port Containment by a message.
    is_one = one.class_.startswith(ROOT_COMPLEX) or (one.class_ == CONTAINED and "by-message" in one.tags)
    return is_one and "source" in one.named


def with_followers(verdict: Verdict, known: Mapping[str, Kept], messages: Mapping[str, str]) -> Verdict:
    """*verdict* with the messages about what it explains."""
    sources = {known[uuid].event.device for uuid in verdict.explains}
    return replace(verdict, explains=verdict.explains | {uuid for uuid, source in messages.items() if source in sources})


def is_nobodys(one: Seen) -> bool:
    """True for a message without a source: something below that port failed, and nothing says what."""
    return one.class_.startswith(ROOT_COMPLEX) and one.class_.endswith("-msg") and not one.named


def is_contained(fabric: Fabric, one: Seen, others: Iterable[Seen]) -> bool:
    """True where a port above *one* has cut it off, as one of *others* says: it is silent for that."""
    function = find(fabric, one.device)
    ports = {other.device for other in others if other.class_ == CONTAINED}
    return function is not None and any(str(step.bdf) in ports for step in path(fabric, function)[:-1])
