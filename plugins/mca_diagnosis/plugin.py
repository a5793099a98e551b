"""Processor and memory diagnosis: machine checks in, cases with suspects out, by rules.

Each error is counted by every rule that fits it, at the part that it names: a page and its channel, a cache. A part is convicted by too
many corrected errors in too short a time, or by what was not corrected. All state lives in SERD engines and one buffer, so a restart
goes on where the daemon was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pcifma.plugin import Case, Ereport, Fabric, ListEvent, Services, Suspect, message_code

from .part import Part, part
from .rule import Rule, Rules, Threshold, load

RULES = Path(__file__).with_name("rules.yaml")
DICTIONARY, UNKNOWN = "MCA", 999  # of a site's own rules
PAGES = 2048  # pages that are counted at one time; beyond it the longest quiet is forgotten, and the module still counts
_BUFFER = "pages"
_CORRECTED = "correctable"

_PAGES = msgspec.json.Decoder(dict[str, list[int]])


def open(services: Services) -> Diagnosis:
    """Start the module with its rules; PluginError names every mistake in them."""
    site = str(services.properties.get("rules", ""))
    return Diagnosis(services, load(Path(site) if site else RULES))


class Diagnosis:
    """The module. Its buffer `pages` holds when each page erred, in ns of boot time."""

    def __init__(self, services: Services, rules: Rules) -> None:
        self._services, self._rules = services, rules

    def recv(self, event: Ereport | ListEvent) -> None:
        """Take one ereport."""
        if isinstance(event, ListEvent):
            return
        corrected = event.severity == _CORRECTED
        if event.first_look and corrected:
            self._services.count("of-unknown-age")  # it stood when first seen, and may be years old
            return
        vendor, _, leaf = event.class_.removeprefix("ereport.cpu.").partition(".")
        fitting = [(rule, found) for rule in self._rules.rules if rule.fits(leaf) and (found := part(event, rule.per)) is not None]
        if not fitting:
            self._services.count("unplaced")
        for rule, found in fitting:
            self._judge(rule, found, event, vendor)

    def timeout(self, timer: str, data: str) -> None:
        """No timer is armed."""

    def close(self) -> None:
        """Nothing is held outside the engines and the buffer."""

    def stats(self) -> Mapping[str, int]:
        """Pages that are counted now."""
        return {"pages": len(self._pages())}

    def topo(self, fabric: Fabric) -> None:
        """Processors and memory are on no fabric."""

    def _judge(self, rule: Rule, found: Part, event: Ereport, vendor: str) -> None:
        corrected = event.severity == _CORRECTED
        key = f"{rule.id}:{found.key}:{'ce' if corrected else 'ue'}"
        known = next((case for case in self._services.cases() if case.key == key), None)
        if known is not None:
            known.add_ereport(event)
        elif self._fires(rule, key, event, corrected=corrected):
            self._accuse(rule, found, event, vendor, key)

    def _fires(self, rule: Rule, key: str, event: Ereport, *, corrected: bool) -> bool:
        threshold = rule.corrected if corrected else rule.uncorrected
        if corrected and rule.yellow and event.payload.get("threshold_based_error_status") == "yellow":
            return True
        if threshold is None:
            return False
        if threshold.n == 0:
            return True
        if rule.per == "page":
            return self._page_fires(key, event, threshold)
        return self._services.serd(key, threshold.n, threshold.t_s).record(event)

    def _page_fires(self, key: str, event: Ereport, threshold: Threshold) -> bool:
        # An engine a page would be millions: pages share a buffer, and the longest quiet make room.
        now_ns, pages = self._services.now_ns(), self._pages()
        oldest_ns = now_ns - int(threshold.t_s * 1e9)
        times = [at for at in pages.pop(key, []) if oldest_ns < at <= now_ns] + [now_ns] * min(event.count, threshold.n + 1)
        fired = len(times) > threshold.n
        if not fired:
            pages[key] = times
        while len(pages) > PAGES:
            del pages[min(pages, key=lambda page: pages[page][-1])]
        self._services.put(_BUFFER, msgspec.json.encode(pages))
        return fired

    def _pages(self) -> dict[str, list[int]]:
        return _PAGES.decode(self._services.get(_BUFFER) or b"{}")

    def _accuse(self, rule: Rule, found: Part, event: Ereport, vendor: str, key: str) -> None:
        unit = event.class_.rpartition(".")[2].removesuffix("_uc")
        main = rule.uncorrected_fault if rule.uncorrected_fault and event.severity != _CORRECTED else rule.fault
        shares = {main: rule.share, **{further.class_: further.share for further in rule.suspects}}
        named = {class_.format(vendor=vendor, unit=unit): share for class_, share in shares.items()}
        case = self._services.open_case(key)
        case.add_ereport(event)
        for class_, share in named.items():
            case.add_suspect(_suspect(class_, found, share))
        self._solve(case, rule, event, set(named))

    def _solve(self, case: Case, rule: Rule, event: Ereport, classes: set[str]) -> None:
        dictionary, number = self._rules.code_of(classes) or (DICTIONARY, UNKNOWN)
        severity, urgency = ("Critical", "now") if event.severity == "fatal" else (rule.severity, rule.urgency)
        case.solve(message_code(dictionary, number), severity=severity, urgency=urgency)


def _suspect(class_: str, found: Part, certainty: int) -> Suspect:
    return Suspect(
        class_=class_,
        certainty=certainty,
        status="faulty",
        device=found.device,
        asru=found.asru,
        fru=found.fru,
        location=found.location,
        resource=found.resource,
    )
