"""What the daemon and a third-party plugin's process say to each other: frames of msgpack, each with its length in front.

The daemon calls, the child answers once; in between it may ask for the services of pcifma.plugin, and is replied to. Whatever
comes from the child is decoded to these types and to nothing else, and is bounded.
"""

from __future__ import annotations

import struct

import msgspec

from pcifma.event.case import Suspect
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.plugin.module import PropertyValue
from pcifma.plugin.watch import Finding, Snapshot, Watch
from pcifma.regs.bdf import Bdf

FRAME_LIMIT = 4 << 20  # bytes of one frame from the child
ASK_LIMIT = 20_000  # questions during one call
LENGTH = struct.Struct("<I")


class Message(msgspec.Struct, array_like=True, tag=True):
    """A frame's content."""


# From the daemon.


class Start(Message):
    """The first frame: load the plugin in directory *path*, of which the loader says *origin*; at most *memory* bytes."""

    path: str
    origin: str
    memory: int


class Tree(msgspec.Struct, array_like=True):
    """A Fabric, without what only the daemon needs of it."""

    id: str
    functions: dict[Bdf, Function]
    below: dict[Bdf, tuple[Bdf, ...]]
    virtual: dict[Bdf, tuple[Bdf, ...]]
    collectors: dict[Bdf, Bdf]

    @classmethod
    def of(cls, fabric: Fabric) -> Tree:
        """*fabric* as it is sent."""
        return cls(fabric.id, dict(fabric.functions), dict(fabric.below), dict(fabric.virtual), dict(fabric.collectors))

    def fabric(self) -> Fabric:
        """The fabric as the plugin sees it."""
        return Fabric(self.id, self.functions, self.below, virtual=self.virtual, collectors=self.collectors)


class Watches(Message):
    """Source.watches."""

    fabric: Tree


class Normalise(Message):
    """Source.normalise."""

    now: Snapshot
    before: Snapshot | None


class Open(Message):
    """Start the module."""

    properties: dict[str, PropertyValue]
    fabric: Tree
    now_ns: int


class Recv(Message):
    """Module.recv; *event* is the JSON line."""

    event: bytes
    now_ns: int


class Timeout(Message):
    """Module.timeout."""

    timer: str
    data: str
    now_ns: int


class Topo(Message):
    """Module.topo."""

    fabric: Tree
    now_ns: int


class Close(Message):
    """Module.close."""


class Stats(Message):
    """Module.stats."""


class Reply(Message):
    """The answer to a question; *value* is None, a text, a list of texts, bytes, a truth value, or a Status or Coverage lines."""

    value: object = None


class Refusal(Message):
    """A question that the daemon did not answer: the plugin gets a PluginError with this text."""

    text: str


Call = Watches | Normalise | Open | Recv | Timeout | Topo | Close | Stats
ToChild = Start | Call | Reply | Refusal


# From the child: answers.


class Ready(Message):
    """The plugin is loaded."""


class Done(Message):
    """The call returned nothing."""


class Watched(Message):
    """What watches() gave."""

    watches: list[Watch]


class Found(Message):
    """What normalise() gave."""

    findings: list[Finding]


class Counted(Message):
    """What stats() gave."""

    values: dict[str, int]


class Failed(Message):
    """The plugin raised; *text* is the error's type and message."""

    text: str


# From the child: questions.


class HostAsk(Message):
    """Host.read, entries, link or why, of *path*."""

    what: str
    path: str


class Count(Message):
    """Services.count."""

    statistic: str
    n: int


class OpenCase(Message):
    """Services.open_case."""

    key: str


class Cases(Message):
    """Services.cases."""


class CaseState(Message):
    """Case.state of the case *uuid*."""

    uuid: str


class CloseCase(Message):
    """Case.close."""

    uuid: str


class AddEreport(Message):
    """Case.add_ereport; *event* is the JSON line."""

    uuid: str
    event: bytes


class AddSuspect(Message):
    """Case.add_suspect."""

    uuid: str
    suspect: Suspect


class Solve(Message):
    """Case.solve."""

    uuid: str
    code: str
    severity: str
    urgency: str
    rest: int = 0


class Revise(Message):
    """Case.revise."""

    uuid: str
    suspects: list[Suspect]
    code: str
    severity: str
    urgency: str
    rest: int = 0


class SerdRecord(Message):
    """Serd.record on the engine *name* with its N and T; reset if *event* is empty."""

    name: str
    n: int
    t_s: float
    event: bytes


class Arm(Message):
    """Services.arm."""

    timer: str
    delay_s: float
    data: str
    keep: bool = True


class Disarm(Message):
    """Services.disarm."""

    timer: str


class Get(Message):
    """Services.get."""

    buffer: str


class Put(Message):
    """Services.put."""

    buffer: str
    data: bytes


class Post(Message):
    """Services.post."""

    finding: Finding


class Subscribe(Message):
    """Services.subscribe."""

    globs: list[str]


class GetStatus(Message):
    """Services.status."""


class GetCoverage(Message):
    """Services.coverage."""


Answer = Ready | Done | Watched | Found | Counted | Failed
CaseAsk = OpenCase | Cases | CaseState | CloseCase | AddEreport | AddSuspect | Solve | Revise
Ask = HostAsk | Count | CaseAsk | SerdRecord | Arm | Disarm | Get | Put | Post | Subscribe | GetStatus | GetCoverage
FromChild = Answer | Ask

_ENCODER = msgspec.msgpack.Encoder()
TO_CHILD = msgspec.msgpack.Decoder(ToChild)
FROM_CHILD = msgspec.msgpack.Decoder(FromChild)


def frame(message: Message) -> bytes:
    """*message* with its length in front."""
    body = _ENCODER.encode(message)
    return LENGTH.pack(len(body)) + body
