"""The chain from a fault to each of its ereports, kept with the case for `pcifma explain`: rules, places, what was not seen, the tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pcifma.plugin import CAPABILITIES, DevType, Fabric, Function

from .address import find
from .evidence import LINK_ERRORS, Seen
from .exercise import Hypothesis, Verdict
from .history import Swap
from .link import Marginal
from .place import path, role
from .rule import Rules, Symptom

_PLACES = {
    "self": "at the part itself",
    "device": "at it, or another Function of the same device",
    "partner": "at the port at the other end of its link",
    "child": "right below it",
    "above": "at a port above it",
    "root": "at its Root Port",
    "below": "below it",
    "anywhere": "anywhere on the fabric",
}
_TREE_LIMIT = 60
UNEXPLAINED = "defect.pcifma.unexplained"
_SPEEDS = {1: "2.5", 2: "5", 3: "8", 4: "16", 5: "32", 6: "64", 7: "128"}


def of_verdict(rules: Rules, fabric: Fabric, verdict: Verdict, swaps: Sequence[Swap], seen: Sequence[Seen]) -> dict[str, Any]:
    """The chain of a verdict, from what was *seen*."""
    best = verdict.best
    parts = [h.part for h, _ in (*verdict.suspects, *verdict.rivals)]
    return {
        "rule": best.fault.id,
        "rules": rules.version,
        "device": best.part,
        "explains": sorted(verdict.explains),
        "suspects": [{"class": h.fault.class_, "device": h.part, "rule": h.fault.id, "percent": n} for h, n in verdict.suspects],
        "because": {one.uuid: _because(best, one) for one in seen},
        "not-seen": _not_seen(best),
        "rivals": [_rival(h, percent) for h, percent in verdict.rivals],
        "rest": verdict.rest,
        "candidates": sorted(verdict.candidates),
        "history": [swap.words for swap in swaps],
        "tree": _tree(fabric, [*parts, *(one.device for one in seen)]),
    }


def _because(best: Hypothesis, one: Seen) -> str:
    symptom = best.explains.get(one.uuid)
    if symptom is None:
        return f"the message about what {one.named.get('source', 'its source')} has logged"
    what = f"of 100 such faults, {round(100 * symptom.p)} show this {_PLACES[symptom.at]}"
    return f"rule {best.fault.id}: {what}{_log(best.part, symptom, one)}"


def _log(part: str, symptom: Symptom, one: Seen) -> str:
    if not symptom.names:
        return ""
    named = one.named.get(symptom.names)
    if named is None:
        return "; its log, which should name the part, names nobody"
    return f", and its log names {'it' if named == part else f'{named}, which it stands for or passes on'} as {symptom.names}"


def _not_seen(h: Hypothesis) -> list[str]:
    return [f"{title(symptom.class_)} at {device}, which {round(100 * symptom.p)} of 100 such faults show" for symptom, device in _worth(h)]


def _worth(h: Hypothesis) -> list[tuple[Symptom, str]]:
    return sorted(h.missing, key=lambda pair: -pair[0].p)[:6]


def _rival(h: Hypothesis, percent: float) -> dict[str, Any]:
    unseen = [f"{title(symptom.class_)} at {device}" for symptom, device in _worth(h)[:3]]
    return {"class": h.fault.class_, "device": h.part, "rule": h.fault.id, "percent": round(percent, 1), "not-seen": unseen}


def of_unexplained(rules: Rules, fabric: Fabric, function: Function, classes: Iterable[str]) -> dict[str, Any]:
    """The chain of what no rule explains."""
    said = sorted({title(class_) for class_ in classes})
    return {
        "rule": "unexplained",
        "rules": rules.version,
        "device": str(function.bdf),
        "explains": [],
        "suspects": [{"class": UNEXPLAINED, "device": str(function.bdf)}],
        "because": {},
        "not-seen": [f"a rule of this version that explains {what} there" for what in said],
        "rivals": [],
        "history": [],
        "tree": _tree(fabric, [str(function.bdf)]),
    }


def of_link(rules: Rules, fabric: Fabric, worse: Marginal, swaps: Sequence[Swap], uuids: Iterable[str]) -> dict[str, Any]:
    """The chain of a marginal direction of a link."""
    lower = find(fabric, worse.of.lower)
    port = fabric.parent(lower) if lower is not None else None
    both = [worse.of.lower] if port is None else [str(port.bdf), worse.of.lower]
    ends = " to ".join(both if worse.of.way == "down" else both[::-1])
    because = f"rule link: a receiver's errors, and the replays of the transmitter that they cause, are one direction of one link: {ends}"
    ids = list(uuids)
    return {
        "rule": "link",
        "rules": rules.version,
        "device": worse.of.lower,
        "explains": sorted(ids),
        "because": dict.fromkeys(ids, because),
        "link": _measured(worse, ends, rules.link.factor),
        "not-seen": _unseen(worse),
        "rivals": [],
        "history": [swap.words for swap in swaps],
        "tree": _tree(fabric, [worse.of.lower]),
    }


def _measured(worse: Marginal, ends: str, factor: float) -> list[str]:
    status = worse.link_status
    speed = "speed and width unknown, taken for the fastest"
    if status is not None:
        speed = f"{_SPEEDS.get(status & 0xF, '?')} GT/s x{status >> 4 & 0x3F}"
    minutes = f"{worse.window_s / 60:.0f} minutes"
    counted = f"{worse.looks} looks with an error" + (f" and {worse.exact} errors counted exactly" if worse.exact else "")
    lines = [
        f"direction {ends} ({speed}): {counted} in {minutes}",
        f"that is at least {worse.rate:.2g} errors a second; a case opens above {worse.limit:.2g}, "
        f"{factor:g} times what the specification allows",
    ]
    if worse.lanes:
        by_lane = ", ".join(f"lane {lane}: {n}" for lane, n in sorted(worse.lanes.items(), key=lambda item: -item[1])[:8])
        lines.append(f"errors by lane: {by_lane}")
    if worse.retimers:
        lines.append(f"retimer {worse.retimers} has seen them too: the damage is done before it")
    return lines


def _unseen(worse: Marginal) -> list[str]:
    other = f"{worse.other} looks" if worse.other else "none"
    found = [f"errors of the other direction of this link: {other} in the same time"]
    if not worse.lanes:
        found.append("errors of single lanes (Lane Error Status, Data Parity Mismatch): none")
    return [*found, "an uncorrectable error or a link that went down: none, or it has a case of its own"]


def _tree(fabric: Fabric, devices: Iterable[str]) -> list[list[str]]:
    # [address, the one above or "", what it is, slot], from the root bus down.
    found: dict[str, list[str]] = {}
    for device in devices:
        function = find(fabric, device)
        for step in path(fabric, function) if function is not None else ():
            above = fabric.parent(step)
            found[str(step.bdf)] = [str(step.bdf), "" if above is None else str(above.bdf), _what(step), _slot(step)]
    return [found[bdf] for bdf in sorted(found)][:_TREE_LIMIT]


def _what(function: Function) -> str:
    word = role(function).replace("_", " ")
    names = {
        "pci": "PCI device", "pci bridge": "PCI bridge", "rciep": "integrated endpoint", "rcec": "Event Collector",
        "pcie to pci bridge": "PCIe-to-PCI bridge", "pci to pcie bridge": "PCI-to-PCIe bridge",
    }  # fmt: skip
    is_port = function.dev_type in (DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT)
    serial = f", serial {function.serial}" if function.serial and not is_port else ""
    return f"{names.get(word, word.title() if function.dev_type is not None else word)} {function.vendor:04x}:{function.device:04x}{serial}"


def _slot(function: Function) -> str:
    return function.slot.label if function.slot is not None else ""


@cache
def _titles() -> Mapping[str, str]:
    return {f"ereport.{f.ereport}": f.title for c in CAPABILITIES.values() for r in c.registers for f in r.fields if f.ereport}


def title(class_: str) -> str:
    """*class_* in the specification's words, as far as it has any."""
    if class_ == LINK_ERRORS:
        return "corrected errors of the link in the minutes before"
    if class_ == "ereport.pcifma.unread":
        return "all ones instead of registers"
    name = _titles().get(class_)
    return class_.removeprefix("ereport.") if name is None else f"{name} ({class_.removeprefix('ereport.')})"
