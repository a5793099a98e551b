"""Decode: from what was read at the ioctl to the calls it makes, and from two lines to one call.

    entry line ──> calls begin (open, by thread) ──> return line ──> calls end

A word counts only where the command, the hypercall and the operation say that its pointer leads somewhere: a fetch that fails leaves
stale bytes of the kernel, which must neither be believed nor shown. Calls are paired by thread; a thread has one ioctl open at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.xpv.call import Call, Return, as_bytes, is_error, signed
from pcifma.xpv.line import Enter, Exit, Layer, Lost, Record
from pcifma.xpv.operation import Family, Operation, choose, plausible, releases
from pcifma.xpv.probe import Site
from pcifma.xpv.table import FAMILIES, HYPERCALLS, IOCTLS

HYPERCALL, DM_OP, MMAP = 0x00305000, 0x00105005, 0x00105002
_COMMANDS = {row.command: row.name for row in IOCTLS}
_FAMILIES = {family.hypercall: family for family in FAMILIES}
_DM_FAMILY = next(family for family in FAMILIES if family.name == "dm_op")
_IOCTL_TYPE = 0x50
_MULTICALL = 13
_CREATE: Site = ("domctl", "createdomain")
# struct multicall_entry in 64-bit words: op, result, args[6].
_ENTRY_WORDS, _ENTRY_RESULT, _ENTRY_ARGS = 8, 1, 2
# Xen keeps the state of a continued memory_op in the bits above (MEMOP_CMD_MASK, memory.h).
_MEMORY_OP_MASK = 0x3F
_FIRST_PAGE, _USER_END = 0x1000, 1 << 56
_MMAP_ENTRY = 24

Moment = Call | Return | Lost


def is_pointer(word: int) -> bool:
    """Tell whether *word* can be an address of a process: neither null (nor near it) nor of the kernel."""
    return _FIRST_PAGE <= word < _USER_END


@dataclass(slots=True)
class Decoder:
    """Turns records into calls. *layer* is whose probes count where a trace has both; *again* waits for the second probe of a return.

    *unfinished* counts calls that never returned in this trace, *orphans* returns without a call, *lost* what the kernel dropped, in
    *gaps*.
    """

    layer: Layer = "kernel"
    again: bool = False
    unfinished: int = 0
    orphans: int = 0
    lost: int = 0
    gaps: int = 0
    release: tuple[int, int] | None = None
    _open: dict[int, tuple[Enter, tuple[Call, ...]]] = field(default_factory=dict)

    def feed(self, record: Record) -> Iterator[Moment]:
        """Yield what *record* begins or ends."""
        if isinstance(record, Lost):
            self.lost += record.count
            self.gaps += 1
            self.close()  # a return that comes now may belong to a call that was lost: none is paired across the gap
            yield record
        elif not self.takes(record):
            return
        elif isinstance(record, Enter):
            yield from self._enter(record)
        else:
            yield from self._exit(record)

    def takes(self, record: Record) -> bool:
        """Tell whether *record* is of the probes that count here."""
        if isinstance(record, Lost):
            return True
        return record.layer == self.layer and (isinstance(record, Enter) or record.again == self.again)

    def close(self) -> None:
        """Count the calls that are still open: the trace ended, or has a gap, before they did."""
        self.unfinished += len(self._open)
        self._open.clear()

    def _enter(self, record: Enter) -> Iterator[Call]:
        if self._open.pop(record.tid, None) is not None:
            self.unfinished += 1
        calls = tuple(self.calls(record))
        if calls:
            self._open[record.tid] = (record, calls)
            yield from calls

    def _exit(self, record: Exit) -> Iterator[Return]:
        entered, calls = self._open.pop(record.tid, (None, ()))
        if entered is None:
            # In the C library every ioctl returns through the same probe; only privcmd's are ever opened.
            self.orphans += record.layer == "kernel"
            return
        for call in calls:
            yield _returned(call, entered, record)

    def calls(self, record: Enter) -> Iterator[Call]:
        """Yield the calls that one ioctl makes; none if it is no ioctl of privcmd."""
        name = _COMMANDS.get(record.command)
        place = (record.cpu, record.tid, record.comm, record.time_ns)
        if name is None:
            if record.layer == "kernel" or record.command >> 8 & 0xFF == _IOCTL_TYPE:
                yield Call(("ioctl", "unknown"), *place, words=as_bytes((record.command,)))
        elif record.command == HYPERCALL:
            for entry, (site, words, struct) in enumerate(found := tuple(self._hypercalls(record))):
                yield Call(site, *place, words=words, struct=struct, entry=entry, entries=len(found))
        elif record.command == DM_OP:
            yield Call(*_device_model(record, place), words=as_bytes(record.words))
        elif record.command == MMAP:
            yield Call(("ioctl", name), *place, words=as_bytes(record.words), elements=_elements(record))
        elif name == "unimplemented":
            yield Call(("ioctl", name), *place)
        else:
            yield Call(("ioctl", name), *place, words=as_bytes(record.words))

    def _hypercalls(self, record: Enter) -> Iterator[tuple[Site, bytes, bytes]]:
        op, args = record.words[0], record.words[1:]
        if op != _MULTICALL:
            yield self._hypercall(op, args, record.behind0, record.behind1)
            return
        read = record.behind0 if is_pointer(args[0]) else ()
        held = max(0, len(read) - _ENTRY_ARGS - 2 + _ENTRY_WORDS) // _ENTRY_WORDS
        decoded = 0
        for decoded in range(1, min(args[1], held) + 1):
            at = (decoded - 1) * _ENTRY_WORDS
            inner = read[at + _ENTRY_ARGS : at + _ENTRY_WORDS]
            nested = record.nested[decoded - 1] if decoded <= len(record.nested) else ()
            yield self._entry(read[at], inner + (0,) * (6 - len(inner)), nested)
        if decoded < args[1]:
            yield ("multicall", None), as_bytes((args[0], args[1] - decoded)), b""

    def _entry(self, op: int, args: tuple[int, ...], nested: tuple[int, ...]) -> tuple[Site, bytes, bytes]:
        if op == _MULTICALL or choose(HYPERCALLS, op, self.release) is None:  # no such entry exists: what was read is stale
            return ("multicall", None), b"", b""
        return self._hypercall(op, args, (), nested)

    def _hypercall(self, op: int, args: tuple[int, ...], behind0: tuple[int, ...], behind1: tuple[int, ...]) -> tuple[Site, bytes, bytes]:
        row = choose(HYPERCALLS, op, self.release)
        if row is None:
            return ("unknown", None), as_bytes((op, *args)), b""
        family = _FAMILIES.get(op)
        words = as_bytes(args)
        if family is None or family.name != row.name:
            return (row.name, None), words, as_bytes(behind0) if row.name == "mmu_update" and is_pointer(args[0]) else b""
        if family.where == "a0":
            struct = as_bytes(behind1) if is_pointer(args[1]) else b""
            return self._numbered(family, args[0] & (_MEMORY_OP_MASK if family.name == "memory_op" else 0xFFFFFFFF), words, struct)
        if family.where == "header" and is_pointer(args[0]) and behind0:
            return self._headed(family, words, behind0)
        return (family.name, None), words, b""

    def _headed(self, family: Family, words: bytes, behind0: tuple[int, ...]) -> tuple[Site, bytes, bytes]:
        number, interface = behind0[0] & 0xFFFFFFFF, behind0[0] >> 32
        if not plausible(family.name, interface):
            return (family.name, None), words, b""
        self.release = releases(family.name, interface) or self.release
        return self._numbered(family, number, words, as_bytes(behind0))

    def _numbered(self, family: Family, number: int, words: bytes, struct: bytes) -> tuple[Site, bytes, bytes]:
        row = choose(family.rows, number, self.release)
        if row is None:
            return (family.name, None), words, b""
        return (family.name, _inner(family, row, struct)), words, struct


def _inner(family: Family, row: Operation, struct: bytes) -> str:
    # An operation with operations of its own: theirs, where the structure names one.
    for nested in family.nested:
        if nested.number == row.number and len(struct) >= nested.offset + nested.size:
            number = int.from_bytes(struct[nested.offset : nested.offset + nested.size], "little")
            found = choose(nested.rows, number, None)
            return nested.full_name(found) if found else row.name
    return row.name


def _device_model(record: Enter, place: tuple[int, int, str, int]) -> tuple[Site, int, int, str, int]:
    buffers = record.words[0] >> 16 & 0xFFFF
    if buffers == 0:  # libxendevicemodel's question whether the ioctl exists at all
        return ("ioctl", "dm_op"), *place
    readable = record.buffer and record.behind0 and is_pointer(record.words[1]) and is_pointer(record.behind0[0])
    # struct xen_dm_op: op, then padding that is zero, hvm/dm_op.h.
    row = choose(_DM_FAMILY.rows, record.buffer[0], None) if readable else None
    return ("dm_op", row.name if row else None), *place


def _elements(record: Enter) -> tuple[bytes, ...]:
    count = min(record.words[0] & 0x7FFFFFFF, len(record.behind0) * 8 // _MMAP_ENTRY) if is_pointer(record.words[1]) else 0
    held = as_bytes(record.behind0)
    return tuple(held[i * _MMAP_ENTRY : (i + 1) * _MMAP_ENTRY] for i in range(count))


def _returned(call: Call, entered: Enter, record: Exit) -> Return:
    again = record.behind0 if record.op is None or record.op == entered.words[0] else ()
    result = _result(entered, call, record.result, again)
    if record.layer == "library" and record.result == -1:
        return Return(call, record.cpu, record.time_ns, None, True)
    created = again[1] & 0xFFFF if call.site == _CREATE and result == 0 and len(again) > 1 else None
    return Return(call, record.cpu, record.time_ns, result, None if result is None else is_error(result), created)


def _result(entered: Enter, call: Call, returned: int, again: tuple[int, ...]) -> int | None:
    if entered.command != HYPERCALL or entered.words[0] != _MULTICALL or returned != 0:
        return returned
    at = call.entry * _ENTRY_WORDS + _ENTRY_RESULT
    return signed(again[at]) if at < len(again) and call.site[0] != "multicall" else None
