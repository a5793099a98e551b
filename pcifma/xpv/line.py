"""Line: one line of tracefs text, as the kernel prints it and as our own recordings keep it.

Two events matter: one at the entry of privcmd's ioctl with the words that were read there, one at its return. Whatever else is in a trace
is foreign and left alone. The words are raw: `decode` says which of them mean anything (a fetch that fails leaves stale bytes, not zeros).
"""

import re
from dataclasses import dataclass
from typing import Literal

from pcifma.errors import FormatError

# Whose function was probed: privcmd_ioctl in the kernel, or ioctl in the C library.
Layer = Literal["kernel", "library"]

MAX_WORDS = 64


@dataclass(frozen=True, slots=True)
class Enter:
    """A thread entered the ioctl. *words* are the ioctl structure; *behind0*, *behind1* what its first and second argument point to.

    *nested* has, for each entry of a multicall, what that entry's second argument points to; *buffer* the first buffer of a device model
    call. All are 64-bit words, little endian; times are nanoseconds of the trace clock.
    """

    cpu: int
    tid: int
    comm: str
    time_ns: int
    layer: Layer
    command: int
    words: tuple[int, ...]
    behind0: tuple[int, ...]
    behind1: tuple[int, ...]
    nested: tuple[tuple[int, ...], ...]
    buffer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exit:
    """The ioctl returned *result*. *behind0* is as in Enter, read after the call; *op* is the call's first word, read again.

    *again* marks the second of two probes on one return, which has the words that the first could not have.
    """

    cpu: int
    tid: int
    comm: str
    time_ns: int
    layer: Layer
    result: int
    op: int | None
    behind0: tuple[int, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The kernel dropped *count* events of this CPU because its buffer was full; 0 when it does not say how many."""

    cpu: int
    count: int


Record = Enter | Exit | Lost

_LINE = re.compile(
    r" *(?P<comm>.{0,16})-(?P<tid>\d{1,10}) +(?:\( *[\d-]{1,10}\) +)?\[(?P<cpu>\d{1,5})\] +(?:\S{1,8} +)?"
    r"(?P<seconds>\d{1,12})(?:\.(?P<fraction>\d{6}|\d{9}))?: (?P<event>[^\s:]{1,64})(?P<rest>.*)",
    re.DOTALL,
)
_LOST = re.compile(r"CPU: ?(?P<cpu>\d{1,5}) \[LOST (?:(?P<count>\d{1,18}) )?EVENTS\]\s*\Z")
_FIELD = re.compile(r"(\w{1,32})=(\{[^{}]*\}|\S*)")
_NUMBER = re.compile(r"(?:0x[0-9a-f]{1,16}|-?\d{1,20})\Z")
_WHERE = re.compile(r" \((?P<where>[^()]{1,200}(?:\([^()]*\))?[^()]*)\)(?= |$)")
_COMM = ' comm="'


def parse(text: str) -> Record | None:
    """Return the record that the line *text* holds, or None for a comment, an empty line or a foreign event.

    Raises FormatError (what is wrong and the remedy; the caller adds file and line) for text that is no trace line.
    """
    if not text.strip() or text.startswith("#"):
        return None
    found = _LINE.match(text.rstrip("\n"))
    if found is None:
        lost = _LOST.match(text)
        if lost is None:
            raise FormatError("is no line of a trace: give the text of tracefs (`cat trace`, `cat trace_pipe`) or of `pcifma trace run -o`")
        return Lost(int(lost["cpu"]), int(lost["count"] or 0))
    rest = found["rest"]
    return _event(found, rest[1:]) if rest.startswith(":") else None


def _event(found: re.Match[str], rest: str) -> Record | None:
    where, body, comm = _split(rest)
    fields = dict(_FIELD.findall(body))
    name = found["event"]
    if "ret" in fields and (name in ("exit", "exit2", "iocr") or "<- " in where):
        kind = "exit"
    elif "cmd" in fields and (name in ("enter", "ioc") or "privcmd_ioctl" in where):
        kind = "enter"
    elif name in ("enter", "exit"):
        raise FormatError(f"has an event {name} without its fields: the line is cut or damaged; record again")
    else:
        return None
    place = _place(found, comm)
    layer: Layer = "library" if name in ("ioc", "iocr") or where.startswith("0x") else "kernel"
    return _enter(place, layer, fields) if kind == "enter" else _exit(place, layer, fields, again=name == "exit2")


def _split(rest: str) -> tuple[str, str, str | None]:
    # The command's name is the last field, and may hold anything: what follows its key is never read as fields.
    body, mark, comm = rest.partition(_COMM)
    where = _WHERE.match(body)
    name = comm[:-1] if mark and comm.endswith('"') else None
    return (where["where"], body[where.end() :], name) if where else ("", body, name)


def _place(found: re.Match[str], comm: str | None) -> tuple[int, int, str, int]:
    if found["fraction"] is None:
        raise FormatError("has a time without a fraction, so its trace clock counts no seconds: record with `echo mono > trace_clock`")
    time_ns = int(found["seconds"]) * 10**9 + int(found["fraction"].ljust(9, "0"))
    return int(found["cpu"]), int(found["tid"]), found["comm"].strip() if comm is None else comm, time_ns


def _enter(place: tuple[int, int, str, int], layer: Layer, fields: dict[str, str]) -> Enter:
    words = (_number(fields, "op"), *(_number(fields, f"a{i}") for i in range(5)))
    nested = [_words(fields, "n"), *(_words(fields, f"n{letter}") for letter in "bcd")]
    while nested and not nested[-1]:
        nested.pop()
    return Enter(
        *place,
        layer,
        _number(fields, "cmd") & 0xFFFFFFFF,
        words,
        _words(fields, "d"),
        _words(fields, "m"),
        tuple(nested),
        _words(fields, "q"),
    )


def _exit(place: tuple[int, int, str, int], layer: Layer, fields: dict[str, str], *, again: bool) -> Exit:
    behind0 = _words(fields, "r")
    if not behind0 and "mres" in fields:  # recordings of two probes on one return: the second word behind the first argument
        behind0 = (0, _number(fields, "mres"))
    op = _number(fields, "op") if "op" in fields else None
    return Exit(*place, layer, _signed(_number(fields, "ret")), op, behind0, again)


def _words(fields: dict[str, str], key: str) -> tuple[int, ...]:
    # Words come as an array, key={0x1,0x2}, or singly, key0=0x1 key1=0x2.
    if key in fields:
        inner = fields[key]
        if not (inner.startswith("{") and inner.endswith("}")):
            raise FormatError(f"has {key}={inner[:40]!r}, which is no list of words: the line is cut or damaged; record again")
        texts = inner[1:-1].split(",") if len(inner) > 2 else []
        if len(texts) > MAX_WORDS:
            raise FormatError(
                f"has {len(texts)} words in {key}, more than any probe reads ({MAX_WORDS}): the line is damaged; record again"
            )
        return tuple(_parsed(key, text) for text in texts)
    single: list[int] = []
    while f"{key}{len(single)}" in fields and len(single) < MAX_WORDS:
        single.append(_number(fields, f"{key}{len(single)}"))
    return tuple(single)


def _number(fields: dict[str, str], key: str) -> int:
    return _parsed(key, fields[key]) if key in fields else 0


def _parsed(key: str, text: str) -> int:
    if not _NUMBER.match(text):
        raise FormatError(f"has {key}={text[:40]!r}, which is no number: the line is cut or damaged; record again")
    return int(text, 0) & 2**64 - 1 if text.startswith("0x") else int(text) & 2**64 - 1


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
