"""What a message says: text, priority, and the journal's fields, in the form that either log takes.

The text of devices, guests and firmware has no control bytes when it leaves here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pcifma.plugin import Bdf, Fabric, Function, ListEvent, message_id

IDENTIFIER = "pcifma"
FACILITY = 3  # daemon
FIELD_LIMIT = 2048  # characters of one field
SUSPECTS = 8  # whose fields are repeated; the log has all
INFO = 6
_PRIORITIES = {"critical": 2, "major": 3, "minor": 4}
_STATES = {
    "list.suspect": "diagnosed", "list.updated": "updated", "list.isolated": "isolated", "list.repaired": "repaired",
    "list.resolved": "resolved",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """One message. *kind* is what MESSAGE_ID stands for: a message code, or started, blind, wrote, drill. *fields* go to the journal
    as PCIFMA_…, in order; a name may come more than once.
    """

    kind: str
    text: str
    priority: int = INFO
    fields: tuple[tuple[str, str], ...] = field(default=())


def of_case(event: ListEvent, fabric: Fabric, guests: Mapping[str, str], article: Mapping[str, str]) -> Message:
    """The message of a case event; *article* is the knowledge article of its first suspect's class."""
    injected = event.injected is True
    severity, blamed = clean(event.severity).lower(), [one for one in event.fault_list if one.status != "acquitted"] or event.fault_list
    first = max(blamed, key=lambda one: one.certainty, default=None)
    state = _STATES.get(event.class_, event.class_.rpartition(".")[2])
    head = f"{severity.upper()} {clean(event.code)} {state}" + (" (drill: nothing is wrong)" if injected else "")
    words = []
    if first is not None:
        where = f"{clean(first.location)}, " if first.location else ""
        words.append(f"{first.certainty}% {clean(first.class_)} at {where}{clean(first.device)}")
    if state == "diagnosed":
        words += [article.get("what", ""), f"Urgency: {event.urgency}."]
    sentences = " ".join(f"{word.removesuffix('.')}." for word in words if word)
    text = f"{head}: {sentences} pcifma explain {event.uuid[:8]}"
    priority = _PRIORITIES.get(severity, 4) if state == "diagnosed" else INFO
    return Message("drill" if injected else event.code, text, priority, tuple(_fields(event, state, fabric, guests)))


def _fields(event: ListEvent, state: str, fabric: Fabric, guests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from (("UUID", event.uuid), ("EVENT", event.event), ("CODE", event.code), ("SEVERITY", event.severity.lower()))
    yield from (("URGENCY", event.urgency), ("STATE", state))
    for suspect in event.fault_list[:SUSPECTS]:
        function = _function(fabric, suspect.device)
        there = function is not None and suspect.status != "replaced"  # else it is another part that sits there
        serial = function.serial if function is not None and there else None
        guest = guests.get(suspect.device, "")
        yield from (("CLASS", suspect.class_), ("CERTAINTY", str(suspect.certainty)), ("BDF", suspect.device))
        yield from ((name, value) for name, value in (("SLOT", suspect.location), ("SERIAL", serial), ("GUEST", guest)) if value)
    if event.injected is True:
        yield "INJECTED", "1"


def _function(fabric: Fabric, device: str) -> Function | None:
    try:
        return fabric.get(Bdf.parse(device))
    except ValueError:
        return None


def native(message: Message) -> bytes:
    """*message* in the journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a field a line; no value has a newline here."""
    pairs = [
        ("MESSAGE", clean(message.text)),
        ("MESSAGE_ID", message_id(message.kind)),
        ("PRIORITY", str(message.priority)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("SYSLOG_FACILITY", str(FACILITY)),
        ("SYSLOG_PID", str(os.getpid())),
        *((f"PCIFMA_{name}", clean(value)) for name, value in message.fields),
    ]
    return "".join(f"{name}={value}\n" for name, value in pairs).encode()


def syslog(message: Message) -> bytes:
    """*message* for /dev/log: the header that every syslog daemon expects there, then RFC 5424's structured data and the text."""
    stamp = time.strftime("%b %e %H:%M:%S")
    data = "".join(f' {name.lower()}="{_escaped(clean(value))}"' for name, value in _each_once(message.fields))
    body = f"[pcifma{data}] {clean(message.text)}" if data else clean(message.text)
    return f"<{FACILITY << 3 | message.priority}>{stamp} {IDENTIFIER}[{os.getpid()}]: {body}".encode()


def _each_once(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    # RFC 5424, 6.3.3: a name may come once in an element; the first suspect's it is.
    seen: dict[str, str] = {}
    for name, value in fields:
        seen.setdefault(name, value)
    return iter(seen.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def clean(text: object) -> str:
    """*text* without anything that a log's reader could take for more than text."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:FIELD_LIMIT])
