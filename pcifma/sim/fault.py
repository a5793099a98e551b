"""What each fault gives, after the specification (PCIe 6.2 error signalling, 2.7.2 poisoning, 2.8 timeouts, 3.6 link errors).

Written from the specification's propagation alone: who detects, what a bridge's Secondary Status shows, which message the Root Port
notes. *places* that can be right are stated with each fault; where nothing on the wire tells two of them apart, it is ambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from pcifma.event.value import Severity
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.regs.exp import DevType

_EPISODE_S = 300.0
# How long a marginal link is watched: a latch needs longer for the fastest.
_LINK_S, _FAST_LINK_S, _FAST = 700, 2000, 400e9
GIGATRANSFERS = {1: 2.5e9, 2: 5e9, 3: 8e9, 4: 16e9, 5: 32e9}
BIT_ERROR_RATE = 1e-12
UNREAD = "pcifma.unread"


@dataclass(frozen=True, slots=True)
class Shown:
    """One error bit at *device*, *at_s* seconds after the start.

    *named*: what its Header Log names (requester, completer, target), or whose message it is (source).

    *lane*: of an error by lane.
    """

    at_s: float
    leaf: str
    device: str
    severity: Severity
    named: Mapping[str, str] = field(default_factory=dict)
    lane: int | None = None


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who it was: *device*, and the fault *class_*; *kin* are classes that send a person to the same part."""

    device: str
    class_: str
    kin: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fault: *culprit*, and *shown*, what it gives.

    *link_status*: (speed code, width) of each link that was drawn. *fits*: how many parts the evidence fits, by physics alone. *beside*:
    who else is at fault at the same time.
    """

    kind: str
    culprit: Culprit
    shown: tuple[Shown, ...]
    fits: int = 1
    link_status: Mapping[str, int] = field(default_factory=dict)
    beside: tuple[Culprit, ...] = ()


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
    def neighbours(self) -> list[Function]:
        # The cards below this Root Port that something uses; itself is one.
        return [f for f in used(self.fabric) if self.fabric.path(f)[0] == self.path[0]]

    def chance(self, p: float) -> bool:
        return self.draw.random() < p

    def message(self, at_s: float, severity: Severity, source: str) -> Iterator[Shown]:
        # ERR_FATAL or ERR_NONFATAL at the Root Port, which names the Function that reports it, with its conventional shadow.
        leaf = "pciex.rc.fe-msg" if severity == "fatal" else "pciex.rc.nfe-msg"
        yield Shown(at_s, leaf, self.root, severity, {"source": source})
        if self.chance(0.5):
            yield Shown(at_s, "pci.sec-rserr", self.root, "fatal")


def used(fabric: Fabric) -> list[Function]:
    """The endpoints that a driver uses; all of them where none is used. A fault shows where something is asked of a card."""
    cards = [f for f in fabric if f.dev_type == DevType.ENDPOINT]
    return [f for f in cards if f.driver] or cards


# Culprit, how many parts the evidence fits, and the evidence.
Made = tuple[Culprit, int, list[Shown]]
Maker = Callable[[_Site], Made]


_INTERR, _CORR, _UNAF = "fault.io.pciex.device-interr", "fault.io.pciex.device-interr-corr", "fault.io.pciex.device-interr-unaf"
_LINKERR, _NORESP, _BUS_NORESP = "fault.io.pciex.bus-linkerr", "fault.io.pciex.device-noresp", "fault.io.pciex.bus-noresp"
_GONE = frozenset({_LINKERR, _NORESP, _BUS_NORESP})
_DEGRADED = frozenset({"fault.io.pciex.bus-linkerr-deg", "fault.io.pciex.device-interr-deg"})
# A link that fails is seen to err before it does in three of five cases, a device that dies next to it in one of ten (user reports:
# replay time-outs some hundred seconds before a card falls off).
_LINK_PRECURSOR, _DEVICE_PRECURSOR = 0.6, 0.1
# Of what goes down, three in five are seats, risers and cables, two the card itself; of what does not answer, one in three.
_LINK_SHARE, _NORESP_LINK_SHARE = 0.6, 1 / 3
_FAILS_AT_S = 200.0
# Of two ends that may both have broken flow control, the card did in two cases of three: illumos gives a port half of a card's FIT.
_PORT_SHARE = 1 / 3
_STRAY, _PROBED = 0.2, 0.05
_UNTOLD = 99


def _internal(site: _Site) -> Made:
    draw = site.draw.random()
    if draw < 0.6 or site.path[-2].dev_type is None:
        return _internal_card(site)
    if draw < 0.85:
        # The port above sends a malformed TLP down: the card is the first to receive it.
        shown = [Shown(1, "pciex.tl.mtlp", site.me, "fatal", {"requester": "0000:00:00.0"})]
        return Culprit(site.port, _INTERR), 1, [*shown, *site.message(1.5, "fatal", site.me)]
    return Culprit(site.port, _INTERR), 1, [Shown(1, "pciex.int.ue", site.port, "fatal"), *site.message(1.5, "fatal", site.port)]


def _internal_card(site: _Site) -> Made:
    way = site.draw.random()
    shown = []
    if way < 0.5:
        shown.append(Shown(1, "pciex.int.ue", site.me, "fatal"))
    if way >= 0.5 or site.chance(0.2):
        # A malformed TLP is found by the first receiver.
        shown.append(Shown(1, "pciex.tl.mtlp", site.port, "fatal", {"requester": site.me}))
    return Culprit(site.me, _INTERR), 1, [*shown, *site.message(1.5, "fatal", shown[0].device)]


def _flow_control(site: _Site) -> Made:
    # The receiver sees its buffer overrun or a protocol violation: the sender's credits or the receiver's own are wrong, who knows.
    leaf = site.draw.choice(("pciex.tl.rof", "pciex.tl.fcp"))
    culprit = Culprit(site.port if site.chance(_PORT_SHARE) else site.me, _INTERR)
    reporter = site.draw.choice((site.me, site.port))
    return culprit, 2, [Shown(1, leaf, reporter, "fatal"), *site.message(1.5, "fatal", reporter)]


def _precursor(site: _Site, chance: float) -> Iterator[Shown]:
    if site.chance(chance):
        for _ in range(site.draw.randint(3, 8)):
            leaf, device = site.draw.choice((("pciex.dl.btlp", site.me), ("pciex.dl.rto", site.port), ("pciex.pl.re", site.port)))
            yield Shown(site.draw.uniform(1, _FAILS_AT_S - 20), leaf, device, "correctable")


def _link_down(site: _Site) -> Made:
    link = site.chance(_LINK_SHARE)
    at_s = _FAILS_AT_S
    shown = [*_precursor(site, _LINK_PRECURSOR if link else _DEVICE_PRECURSOR)]
    shown += [Shown(at_s, "pciex.dl.sd", site.port, "fatal"), *site.message(at_s + 0.5, "fatal", site.port)]
    if site.chance(0.5):
        shown.append(Shown(at_s + 0.5, "pciex.tl.cto", site.root, "nonfatal", {"requester": "0000:00:00.0", "target": site.me}))
    if site.chance(0.4):
        # While the link is down the port above answers requests that go below it as unsupported (2.9.1).
        shown.append(Shown(at_s + 1, "pciex.tl.ur", site.port, "nonfatal", {"requester": "0000:00:00.0", "target": site.me}))
    if site.chance(0.3):
        shown.append(Shown(at_s + 1, "pci.sec-ma", site.root, "nonfatal"))
    if site.chance(0.5 if link else 0.8):
        # A link may train again before anybody looks; a dead card does not come back.
        shown.append(Shown(at_s + 1, UNREAD, site.me, "info"))
    return Culprit(site.me, _LINKERR if link else _NORESP, _GONE), 1, shown


def _no_response(site: _Site) -> Made:
    link = site.chance(_NORESP_LINK_SHARE)
    logged = site.chance(0.7)  # logging the request of a timed-out completion is optional (7.8.4.7)
    named = {"requester": "0000:00:00.0", "target": site.me} if logged else {}
    at_s = _FAILS_AT_S
    shown = [*_precursor(site, _LINK_PRECURSOR if link else _DEVICE_PRECURSOR / 2)]
    shown.append(Shown(at_s, "pciex.tl.cto", site.root, "nonfatal", named))
    if site.chance(0.4):
        shown.append(Shown(at_s, "pci.sec-ma", site.root, "nonfatal"))
    dead = site.chance(0.2 if link else 0.5)  # what does not answer requests often does not answer the poller either
    if dead:
        shown.append(Shown(at_s + 1, UNREAD, site.me, "info"))
    # A time-out without a log may be of whoever is asked anything below that Root Port.
    return Culprit(site.me, _BUS_NORESP if link else _NORESP, _GONE), 1 if logged or dead else len(site.neighbours), shown


def _poison(site: _Site) -> Made:
    shown: list[Shown] = []
    for n in range(6):
        at_s = 1 + n * _EPISODE_S
        for device in site.receivers_up:
            shown.append(Shown(at_s, "pciex.tl.ptlp", device, "nonfatal", {"requester": site.me}))
            shown.append(Shown(at_s, "pci.sec-dpe", device, "nonfatal"))
        shown.append(Shown(at_s, "pci.mdpe", site.me, "nonfatal"))
    return Culprit(site.me, _UNAF), 1, shown


def _poison_memory(site: _Site) -> Made:
    # Completions from memory are poisoned before they reach the Root Port; readers below it see them.
    shown: list[Shown] = []
    for n in range(6):
        reader = _Site(site.draw, site.fabric, site.draw.choice(site.neighbours))
        for device in reader.receivers_down:
            named = {"requester": reader.me, "completer": "0000:00:00.0"}
            shown.append(Shown(1 + n * _EPISODE_S, "pciex.tl.ptlp", device, "nonfatal", named))
            shown.append(Shown(1 + n * _EPISODE_S, "pci.dpe", device, "nonfatal"))
        shown.append(Shown(1 + n * _EPISODE_S, "pci.mdpe", reader.me, "nonfatal"))
    return Culprit(site.root, _UNAF), 1, shown


def _checksum(site: _Site) -> Made:
    # LCRC is made anew at each link: what ECRC finds was spoilt inside the sender, or inside a switch that passed it on.
    switches = [str(f.bdf) for f in site.path[1:-1] if f.dev_type == DevType.UPSTREAM_PORT]
    device = site.draw.choice(switches) if switches and site.chance(0.7) else site.me
    named = {"requester": site.me}
    shown = [Shown(1 + n * _EPISODE_S, "pciex.tl.ecrc", site.root, "nonfatal", named) for n in range(6)]
    return Culprit(device, _UNAF), 1 + len(switches), shown


def _bad_request(site: _Site) -> Made:
    leaf, device = ("pciex.tl.acsv", site.port) if site.chance(0.2) and site.port != site.root else ("pciex.tl.ur", site.root)
    shown = [Shown(1 + n * _EPISODE_S, leaf, device, "nonfatal", {"requester": site.me}) for n in range(10)]
    return Culprit(site.me, "fault.io.pciex.device-invreq"), 1, shown


def _driver(site: _Site) -> Made:
    # Software asks a device for what it does not have, over and over.
    named = {"requester": "0000:00:00.0"}
    shown = [Shown(1 + n * _EPISODE_S, "pciex.tl.ur", site.me, "nonfatal", named) for n in range(10)]
    return Culprit(site.me, "defect.io.pciex.driver"), 1, shown


def _completer_abort(site: _Site) -> Made:
    shown: list[Shown] = []
    for n in range(6):
        at_s = 1 + n * _EPISODE_S
        shown.append(Shown(at_s, "pciex.tl.ca", site.me, "nonfatal", {"requester": "0000:00:00.0"}))
        shown.append(Shown(at_s, "pci.sta", site.me, "nonfatal"))
        shown += [Shown(at_s, "pci.sec-rta", device, "nonfatal") for device in site.receivers_up]
    return Culprit(site.me, _INTERR), 1, shown


def _stray(site: _Site) -> Made:
    named = {"requester": "0000:00:00.0", "completer": site.me}
    return Culprit(site.me, _CORR), 1, [Shown(1 + n * _EPISODE_S, "pciex.tl.uc", site.root, "nonfatal", named) for n in range(10)]


def _corrected_internal(site: _Site) -> Made:
    device = site.me if site.chance(0.7) else site.port
    return Culprit(device, _CORR), 1, [Shown(1 + n * _EPISODE_S, "pciex.int.ce", device, "correctable") for n in range(10)]


def _trained_down(site: _Site) -> Made:
    # Lanes were lost or a rate given up: the link, or the card's own receiver or transmitter.
    link = site.chance(2 / 3)
    leaf = site.draw.choice(("pciex.pl.speed", "pciex.pl.width"))
    shown = [*_precursor(site, 0.4 if link else _DEVICE_PRECURSOR), Shown(_FAILS_AT_S, leaf, site.me, "correctable")]
    return Culprit(site.me, "fault.io.pciex.bus-linkerr-deg" if link else "fault.io.pciex.device-interr-deg", _DEGRADED), 1, shown


def _slot_power(site: _Site) -> Made:
    shown = [Shown(1, "pciex.slot.pf", site.port, "nonfatal")]
    if site.chance(0.5):
        shown += [Shown(1, "pciex.dl.sd", site.port, "fatal"), *site.message(1.5, "fatal", site.port)]
    return Culprit(site.port, "fault.io.pciex.slot-power"), 1, shown


MAKERS: dict[str, Maker] = {
    "internal": _internal,
    "flow-control": _flow_control,
    "link-down": _link_down,
    "no-response": _no_response,
    "poison": _poison,
    "poison-memory": _poison_memory,
    "checksum": _checksum,
    "bad-request": _bad_request,
    "driver": _driver,
    "completer-abort": _completer_abort,
    "stray-completion": _stray,
    "corrected-internal": _corrected_internal,
    "trained-down": _trained_down,
    "slot-power": _slot_power,
}
KINDS = (*MAKERS, "marginal-link", "two-faults")
# Of these two at once are drawn: what one event tells.
_SINGLE = ("internal", "link-down", "no-response", "slot-power")


def fault(kind: str, draw: Random, fabric: Fabric) -> Drawn:
    """A fault of *kind* somewhere on *fabric*; `two-faults`: two at once on two cards, or one where there is but one card."""
    cards = used(fabric)
    if kind == "marginal-link":
        return marginal(draw, fabric)
    if kind == "two-faults":
        first, *more = draw.sample(cards, min(2, len(cards)))
        one = _made(kind, _Site(draw, fabric, first), draw.choice(_SINGLE))
        other = [_made(kind, _Site(draw, fabric, card), draw.choice(_SINGLE), strays=False) for card in more]
        shown = (shown for each in other for shown in each.shown)
        fits = _UNTOLD if _hide(one, *other) else max(each.fits for each in (one, *other))
        return replace(one, shown=(*one.shown, *shown), fits=fits, beside=tuple(each.culprit for each in other))
    return _made(kind, _Site(draw, fabric, draw.choice(cards)), kind)


def _made(kind: str, site: _Site, maker: str, *, strays: bool = True) -> Drawn:
    culprit, fits, shown = MAKERS[maker](site)
    return Drawn(kind, culprit, (*(_stray_errors(site) if strays else ()), *shown), fits)


def _hide(*faults: Drawn) -> bool:
    # One status bit holds one error a look: where two faults time out at one port, one of them has to show something else.
    timed_out = [{shown.device for shown in fault.shown if shown.leaf == "pciex.tl.cto"} for fault in faults]
    told = [any(shown.leaf in (UNREAD, "pciex.dl.sd") for shown in fault.shown) for fault in faults]
    return not all(told) and len(faults) > 1 and bool(set.intersection(*timed_out))


def _stray_errors(site: _Site) -> Iterator[Shown]:
    # What a sound machine says now and then: a corrected error of some link, a request that probing sent to a card that lacks it.
    for function in site.fabric:
        if function.dev_type != DevType.ROOT_PORT and site.chance(_STRAY):
            leaf = site.draw.choice(("pciex.pl.re", "pciex.dl.btlp", "pciex.dl.bdllp"))
            yield Shown(site.draw.uniform(0, _FAILS_AT_S), leaf, str(function.bdf), "correctable")
        if function.dev_type == DevType.ENDPOINT and site.chance(_PROBED):
            yield Shown(site.draw.uniform(0, _FAILS_AT_S), "pciex.tl.ur", str(function.bdf), "nonfatal", {"requester": "0000:00:00.0"})


def marginal(draw: Random, fabric: Fabric) -> Drawn:
    """One direction of one link is 100 to 1,000 times worse than allowed: its receiver rejects, its transmitter replays.

    Three in five are the link itself: then the other direction often errs too, or a few lanes have all the errors. Else the
    transmitter or the receiver: then all lanes have them.
    """
    lower = draw.choice([f for f in fabric if f.dev_type in (DevType.ENDPOINT, DevType.UPSTREAM_PORT)])
    upper = fabric.parent(lower)
    assert upper is not None
    code, width = draw.choice(tuple(GIGATRANSFERS)), draw.choice((1, 2, 4, 8, 16))
    receiver, sender = (lower, upper) if draw.random() < 0.5 else (upper, lower)
    rate = BIT_ERROR_RATE * GIGATRANSFERS[code] * width * draw.uniform(100, 1000)
    part = draw.choices(("link", "sender", "receiver"), (0.6, 0.2, 0.2))[0]
    seconds = _LINK_S if GIGATRANSFERS[code] * width < _FAST else _FAST_LINK_S
    ends = (str(receiver.bdf), str(sender.bdf))
    shown = list(_corrected(draw, ends, rate, seconds))
    if part == "link" and draw.random() < 0.3:
        shown += _corrected(draw, ends[::-1], rate, seconds)
    narrow = part == "link" and draw.random() < 0.4
    if code >= 4 and draw.random() < 0.7:
        shown += _lanes(draw, ends[0], draw.sample(range(width), 1) if narrow else list(range(width)), seconds)
    culprit = {"link": str(lower.bdf), "sender": ends[1], "receiver": ends[0]}[part]
    class_ = _CORR if part != "link" else "fault.io.pciex.bus-linkerr-corr"
    kin = frozenset({class_, "fault.io.pciex.bus-linkerr-lane"}) if part == "link" else frozenset({class_})
    status = code | width << 4
    return Drawn("marginal-link", Culprit(culprit, class_, kin), tuple(shown), 2, {ends[0]: status, ends[1]: status})


_LINK_BITS = (
    ("pciex.pl.re", 0, 0.2),
    ("pciex.dl.btlp", 0, 0.5),
    ("pciex.dl.bdllp", 0, 0.3),
    ("pciex.dl.rto", 1, 0.1),
)


def _corrected(draw: Random, ends: tuple[str, ...], rate: float, seconds: int) -> Iterator[Shown]:
    chances = [(leaf, ends[end], -math.expm1(-rate * share)) for leaf, end, share in _LINK_BITS]
    for second in range(seconds):
        for leaf, device, chance in chances:
            if draw.random() < chance:
                yield Shown(second, leaf, device, "correctable")


def _lanes(draw: Random, device: str, lanes: list[int], seconds: int) -> Iterator[Shown]:
    # Lane registers are of the slow tier: a look each half minute, whatever lane it was in between.
    for second in range(30, seconds, 30):
        yield Shown(second, "pciex.pl.lane", device, "correctable", lane=draw.choice(lanes))
