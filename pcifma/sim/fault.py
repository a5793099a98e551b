"""What each fault gives, after the specification (PCIe 6.2 error signalling, 2.7.2 poisoning, 2.8 timeouts, 3.6 link errors).

Written from the specification's propagation alone: who detects, what a bridge's Secondary Status shows, which message the Root Port
notes. *places* that can be right are stated with each fault; where nothing on the wire tells two of them apart, it is ambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from pcifma.event.ereport import Severity
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.regs.exp import DevType

_EPISODE_S = 300.0
# How long a marginal link is watched: a latch needs longer for the fastest.
_LINK_S, _FAST_LINK_S, _FAST = 700, 2000, 400e9
GIGATRANSFERS = {1: 2.5e9, 2: 5e9, 3: 8e9, 4: 16e9, 5: 32e9}
BIT_ERROR_RATE = 1e-12


@dataclass(frozen=True, slots=True)
class Shown:
    """One error bit at *device*, *at_s* seconds after the start. *named*: what its Header Log names (requester, completer, target)."""

    at_s: float
    leaf: str
    device: str
    severity: Severity
    named: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fault: *device* is the culprit, *classes* are the fault classes that say so, *shown* is what it gives.

    *link_status*: (speed code, width) of each link that was drawn. *ambiguous*: the evidence fits more than one part.
    """

    kind: str
    device: str
    classes: frozenset[str]
    shown: tuple[Shown, ...]
    ambiguous: bool = False
    link_status: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Site:
    # An endpoint, the port above it, the Root Port, and the ports between as the receivers on the way up.
    draw: Random
    fabric: Fabric
    card: Function

    @property
    def me(self) -> str:
        return str(self.card.bdf)

    @property
    def path(self) -> tuple[Function, ...]:
        return self.fabric.path(self.card)

    @property
    def port(self) -> str:
        return str(self.path[-2].bdf)

    @property
    def root(self) -> str:
        return str(self.path[0].bdf)

    @property
    def receivers_up(self) -> list[str]:
        return [str(f.bdf) for f in self.path if f.dev_type in (DevType.DOWNSTREAM_PORT, DevType.ROOT_PORT)]

    @property
    def receivers_down(self) -> list[str]:
        return [str(f.bdf) for f in self.path if f.dev_type in (DevType.UPSTREAM_PORT, DevType.ENDPOINT)]

    @property
    def alone(self) -> bool:
        below = [f for f in self.fabric if f.dev_type == DevType.ENDPOINT and self.fabric.path(f)[0] == self.path[0]]
        return len(below) == 1

    def chance(self, p: float) -> bool:
        return self.draw.random() < p

    def message(self, at_s: float, severity: Severity) -> Iterator[Shown]:
        # ERR_FATAL or ERR_NONFATAL at the Root Port, with its conventional shadow.
        yield Shown(at_s, "pciex.rc.fe-msg" if severity == "fatal" else "pciex.rc.nfe-msg", self.root, severity)
        if self.chance(0.5):
            yield Shown(at_s, "pci.sec-rserr", self.root, "fatal")


Maker = Callable[[_Site], tuple[str, frozenset[str], bool, list[Shown]]]
_INTERR = frozenset({"fault.io.pciex.device-interr"})
_UNAF = frozenset({"fault.io.pciex.device-interr-unaf"})
_CORR = frozenset({"fault.io.pciex.device-interr-corr"})
_LINK = frozenset({"fault.io.pciex.bus-linkerr", "fault.io.pciex.device-noresp", "fault.io.pciex.bus-noresp"})
_NORESP = frozenset({"fault.io.pciex.device-noresp", "fault.io.pciex.bus-noresp"})
_INVREQ = frozenset({"fault.io.pciex.device-invreq"})


def _internal(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    way = site.draw.random()
    shown = []
    if way < 0.5:
        shown.append(Shown(1, "pciex.int.ue", site.me, "fatal"))
    if way >= 0.5 or site.chance(0.2):
        # A malformed TLP is found by the first receiver.
        shown.append(Shown(1, "pciex.tl.mtlp", site.port, "fatal", {"requester": site.me}))
    return site.me, _INTERR, False, [*shown, *site.message(1.5, "fatal")]


def _flow_control(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    # The receiver sees its buffer overrun or a protocol violation: the sender's credits or the receiver's own are wrong, who knows.
    leaf = site.draw.choice(("pciex.tl.rof", "pciex.tl.fcp"))
    return site.draw.choice((site.me, site.port)), _INTERR, True, [Shown(1, leaf, site.port, "fatal"), *site.message(1.5, "fatal")]


def _link_down(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    shown = [Shown(1, "pciex.dl.sd", site.port, "fatal"), *site.message(1.5, "fatal")]
    if site.chance(0.5):
        shown.append(Shown(1.5, "pciex.tl.cto", site.root, "nonfatal", {"requester": "0000:00:00.0", "target": site.me}))
    if site.chance(0.4):
        # While the link is down the port above answers requests that go below it as unsupported (2.9.1).
        shown.append(Shown(2, "pciex.tl.ur", site.port, "nonfatal", {"requester": "0000:00:00.0", "target": site.me}))
    if site.chance(0.3):
        shown.append(Shown(2, "pci.sec-ma", site.root, "nonfatal"))
    return site.me, _LINK, False, shown


def _no_response(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    logged = site.chance(0.7)  # logging the request of a timed-out completion is optional (7.8.4.7)
    named = {"requester": "0000:00:00.0", "target": site.me} if logged else {}
    shown = [Shown(1, "pciex.tl.cto", site.root, "nonfatal", named)]
    if site.chance(0.4):
        shown.append(Shown(1, "pci.sec-ma", site.root, "nonfatal"))
    return site.me, _NORESP, not (logged or site.alone), shown


def _poison(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    shown: list[Shown] = []
    for n in range(6):
        at_s = 1 + n * _EPISODE_S
        for device in site.receivers_up:
            shown.append(Shown(at_s, "pciex.tl.ptlp", device, "nonfatal", {"requester": site.me}))
            shown.append(Shown(at_s, "pci.sec-dpe", device, "nonfatal"))
        shown.append(Shown(at_s, "pci.mdpe", site.me, "nonfatal"))
    return site.me, _UNAF, False, shown


def _poison_memory(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    # Completions from memory are poisoned before they reach the Root Port; readers below it see them.
    below = [f for f in site.fabric if f.dev_type == DevType.ENDPOINT and site.fabric.path(f)[0] == site.path[0]]
    shown: list[Shown] = []
    for n in range(6):
        reader = _Site(site.draw, site.fabric, site.draw.choice(below))
        for device in reader.receivers_down:
            named = {"requester": reader.me, "completer": "0000:00:00.0"}
            shown.append(Shown(1 + n * _EPISODE_S, "pciex.tl.ptlp", device, "nonfatal", named))
            shown.append(Shown(1 + n * _EPISODE_S, "pci.dpe", device, "nonfatal"))
        shown.append(Shown(1 + n * _EPISODE_S, "pci.mdpe", reader.me, "nonfatal"))
    return site.root, _UNAF, False, shown


def _bad_request(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    leaf, device = ("pciex.tl.acsv", site.port) if site.chance(0.2) and site.port != site.root else ("pciex.tl.ur", site.root)
    shown = [Shown(1 + n * _EPISODE_S, leaf, device, "nonfatal", {"requester": site.me}) for n in range(10)]
    return site.me, _INVREQ, False, shown


def _completer_abort(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    shown: list[Shown] = []
    for n in range(6):
        at_s = 1 + n * _EPISODE_S
        shown.append(Shown(at_s, "pciex.tl.ca", site.me, "nonfatal", {"requester": "0000:00:00.0"}))
        shown.append(Shown(at_s, "pci.sta", site.me, "nonfatal"))
        shown += [Shown(at_s, "pci.sec-rta", device, "nonfatal") for device in site.receivers_up]
    return site.me, _INTERR, False, shown


def _stray(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    named = {"requester": "0000:00:00.0", "completer": site.me}
    return site.me, _CORR, False, [Shown(1 + n * _EPISODE_S, "pciex.tl.uc", site.root, "nonfatal", named) for n in range(10)]


def _corrected_internal(site: _Site) -> tuple[str, frozenset[str], bool, list[Shown]]:
    return site.me, _CORR, False, [Shown(1 + n * _EPISODE_S, "pciex.int.ce", site.me, "correctable") for n in range(10)]


MAKERS: dict[str, Maker] = {
    "internal": _internal,
    "flow-control": _flow_control,
    "link-down": _link_down,
    "no-response": _no_response,
    "poison": _poison,
    "poison-memory": _poison_memory,
    "bad-request": _bad_request,
    "completer-abort": _completer_abort,
    "stray-completion": _stray,
    "corrected-internal": _corrected_internal,
}
KINDS = (*MAKERS, "marginal-link")


def fault(kind: str, draw: Random, fabric: Fabric) -> Drawn:
    """A fault of *kind* somewhere on *fabric*."""
    card = draw.choice([f for f in fabric if f.dev_type == DevType.ENDPOINT])
    if kind == "marginal-link":
        return _marginal(draw, fabric)
    device, classes, ambiguous, shown = MAKERS[kind](_Site(draw, fabric, card))
    return Drawn(kind, device, classes, tuple(shown), ambiguous)


_LINK_BITS = (
    ("pciex.pl.re", "receiver", 0.2),
    ("pciex.dl.btlp", "receiver", 0.5),
    ("pciex.dl.bdllp", "receiver", 0.3),
    ("pciex.dl.rto", "sender", 0.1),
)


def _marginal(draw: Random, fabric: Fabric) -> Drawn:
    # One direction of one link is 100 to 1,000 times worse than allowed: its receiver rejects, its transmitter replays.
    lower = draw.choice([f for f in fabric if f.dev_type in (DevType.ENDPOINT, DevType.UPSTREAM_PORT)])
    upper = fabric.parent(lower)
    assert upper is not None
    code, width = draw.choice(tuple(GIGATRANSFERS)), draw.choice((1, 2, 4, 8, 16))
    receiver, sender = (lower, upper) if draw.random() < 0.5 else (upper, lower)
    rate = BIT_ERROR_RATE * GIGATRANSFERS[code] * width * draw.uniform(100, 1000)
    shown: list[Shown] = []
    for second in range(_LINK_S if GIGATRANSFERS[code] * width < _FAST else _FAST_LINK_S):
        for leaf, device, share in _LINK_BITS:
            if draw.random() < -math.expm1(-rate * share):
                shown.append(Shown(second, leaf, str((receiver if device == "receiver" else sender).bdf), "correctable"))
    classes = frozenset({"fault.io.pciex.bus-linkerr-corr"})
    status = code | width << 4
    return Drawn("marginal-link", str(lower.bdf), classes, tuple(shown), False, {str(lower.bdf): status, str(upper.bdf): status})
