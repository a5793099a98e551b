"""The boundary: whatever a plugin hands over that is not as the API says is a PluginError, and nothing worse."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.errors import PluginError
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.own import Author
from pcifma.plugin import HOST, Bdf, Evidence, Finding, Location, Read, Target, Watch, boundary

STATUS = Location("ECAP_AER", 4, 4)
CARD = Target("function", "0000:04:00.0")
GOOD = Finding("ereport.io.pciex.tl.ur", Evidence(CARD, STATUS, 20), "nonfatal", {"value": 1 << 20, "name": "Ünsupported", "of": ["a", 1]})
WATCH = Watch(CARD, STATUS, tier="fast", reads=(Read(STATUS), Read(STATUS, CARD, again=True)), facts=("{sysfs}/irq",))


class Rude:
    """Raises whatever is done with it."""

    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("eq")

    def __hash__(self) -> int:
        raise SystemExit("hash")


RUDE: Any = Rude()
NUMBERS = (0, -1, 1 << 53, 1 << 64, 10**5000, 1.0, float("nan"), True, "1", None, RUDE)
TEXTS = ("\ud800", "a\0b", "x" * 5000, b"bytes", None, 3, RUDE)
BAD_VALUES = (1 << 53, -(1 << 70), 10**5000, 1.5, float("nan"), b"x", "\udcff", {"a": 1}, [1.5], [[1]], (1,), ["x"] * 300, "x" * 5000, RUDE)


def changed(**changes: Any) -> Finding:
    return GOOD._replace(**changes)


def at(**changes: Any) -> Finding:
    return GOOD._replace(evidence=GOOD.evidence._replace(**changes))


BAD_FINDINGS = [
    *(changed(count=n) for n in NUMBERS),
    *(changed(class_=text) for text in (*TEXTS, "", "ereport", "ereport.", "ereport..x", "fault.x", "ereport.a b", "ereport.\x1b[2J")),
    changed(class_="ereport.io.pci.fabric"),
    *(changed(severity=word) for word in ("", "awful", None, 1, ["info"], RUDE)),
    *(changed(residue=word) for word in (1, None, "yes", RUDE)),
    *(changed(payload={"x": value}) for value in BAD_VALUES),
    *(changed(payload={key: 1}) for key in ("\ud800", 1, None, "a\0", "x" * 300)),
    *(changed(payload=payload) for payload in (None, [("a", 1)], 3, RUDE)),
    changed(payload={f"k{n}": n for n in range(1000)}),
    changed(payload={f"k{n}": "x" * 4000 for n in range(20)}),
    changed(evidence=None),
    changed(evidence=RUDE),
    *(at(bit=n) for n in (-1, 32, 1 << 40, 10**5000, 1.5, True, None, "1", RUDE)),
    *(at(location="fact", bit=n) for n in (-1, 1 << 32, 10**5000, None)),
    *(at(location=text) for text in TEXTS),
    at(location=Location("ECAP_AER", -4, 4)),
    at(location=Location("ECAP_AER", 5000, 4)),
    at(location=Location("ECAP_AER", 4, 8)),
    at(location=Location("AER; rm", 4, 4)),
    at(location=Location("ECAP_AER", RUDE, 4)),
    at(location=Location([], 4, 4)),  # type: ignore[arg-type]
    *(at(target=Target("function", name)) for name in ("", "nowhere", "04:00.0", "0000:04:00.8", "0000:04:00.0\n", "\ud800")),
    at(target=Target("planet", "earth")),  # type: ignore[arg-type]
    at(target=Target("cpu", "x" * 300)),
    at(target=Target("host", "\x1b[2J")),
    at(target=("function", "0000:04:00.0")),
    at(target=Target("function", RUDE)),
]


@pytest.mark.parametrize("number", range(len(BAD_FINDINGS)))
def test_bad_finding_is_refused(number: int) -> None:
    with pytest.raises(PluginError) as err:
        boundary.findings([GOOD, BAD_FINDINGS[number]])
    assert str(err.value).isprintable()
    assert len(str(err.value)) < 600


@pytest.mark.parametrize("given_", [1, "x", b"x", {}, object(), RUDE, None, Finding], ids=lambda _: "")
def test_what_is_no_finding_is_refused(given_: object) -> None:
    with pytest.raises(PluginError, match="a finding is wanted"):
        boundary.finding(given_)


def test_good_findings_pass_as_they_are() -> None:
    assert boundary.findings(iter([GOOD, at(location="/sys/fact", bit=1 << 20), at(target=HOST)])) == [
        GOOD, at(location="/sys/fact", bit=1 << 20), at(target=HOST),
    ]  # fmt: skip


class Payload(Mapping[str, Any]):
    """Says something else each time it is asked."""

    def __init__(self) -> None:
        self.asked = itertools.count()

    def __getitem__(self, key: str) -> Any:
        return next(self.asked) if next(self.asked) < 2 else RUDE

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


def test_payload_that_changes_its_mind_is_taken_once() -> None:
    assert type(boundary.finding(changed(payload=Payload())).payload) is dict


def test_flood_ends_after_one_more_than_the_limit() -> None:
    taken = itertools.count()
    endless = (GOOD for _ in taken)
    with pytest.raises(PluginError, match="flood: more than 4096 findings in one call"):
        boundary.findings(endless)
    assert next(taken) == boundary.FINDING_LIMIT + 1


BAD_WATCHES: list[Callable[[], object]] = [
    *(lambda v=v: WATCH._replace(mask=v) for v in (-1, 1 << 32, 1.0, None, RUDE)),
    *(lambda v=v: WATCH._replace(hold=v) for v in (-1.0, float("nan"), float("inf"), "1", None, RUDE)),
    *(lambda v=v: WATCH._replace(when=v) for v in ("never", None, RUDE)),
    *(lambda v=v: WATCH._replace(tier=v) for v in ("turbo", None, RUDE)),
    *(lambda v=v: WATCH._replace(reads=v) for v in ([Read(STATUS)], (STATUS,), (Read(RUDE),), (Read(STATUS, RUDE),))),
    lambda: WATCH._replace(reads=(Read(STATUS, None, RUDE),)),
    *(lambda v=v: WATCH._replace(facts=v) for v in (["a"], (1,), ("\ud800",), "text", ("x" * 5000,))),
    *(lambda v=v: WATCH._replace(location=v) for v in ("ECAP_AER+4.l", 4, Location("", 5000, 4), RUDE)),
    *(lambda v=v: WATCH._replace(behind=v) for v in ("x", RUDE)),
    *(lambda v=v: WATCH._replace(target=v) for v in (None, "host", Target("function", "x"), Bdf(0, 4, 0, 0))),
    lambda: None,
    lambda: STATUS,
]


@pytest.mark.parametrize("number", range(len(BAD_WATCHES)))
def test_bad_watch_is_refused(number: int) -> None:
    with pytest.raises(PluginError):
        boundary.watches([WATCH, BAD_WATCHES[number]()])


def test_good_watches_pass_and_shared_reads_are_checked_once() -> None:
    assert boundary.watches([WATCH] * 100) == [WATCH] * 100


@pytest.mark.parametrize(
    ("endless", "what"),
    [
        (itertools.repeat(WATCH), "watches in one call"),
        ((WATCH._replace(target=Target("cpu", str(n))) for n in range(5000)), "no Functions"),
    ],
)
def test_too_many_watches_are_refused(endless: Iterator[Watch], what: str) -> None:
    with pytest.raises(PluginError, match=f"flood: .*{what}"):
        boundary.watches(endless)


@pytest.mark.parametrize("stats", [None, [1], {"a": 1 << 63}, {"a": 10**5000}, {"a": "1"}, {"\ud800": 1}, {1: 1}, {"a": True}, RUDE])
def test_bad_statistics_are_refused(stats: object) -> None:
    with pytest.raises(PluginError):
        boundary.statistics(stats)


@pytest.mark.parametrize(
    "changes",
    [{"uuid": "x"}, {"uuid": 3}, {"uuid": "\ud800" * 36}, {"seq": -1}, {"seq": 1 << 64}, {"seq": "1"}, {"count": 0}, {"count": 10**40}],
)
def test_ereport_that_cannot_have_come_from_the_log_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PluginError):
        boundary.event(ereport(**changes))
    assert boundary.event(ereport()) == ereport()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner),
    max_leaves=5,
)


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_whatever_passes_can_be_logged(class_: Any, severity: Any, count: Any, bit: Any, value: Any) -> None:
    fields: list[dict[str, Any]] = [
        {"class_": class_}, {"severity": severity}, {"count": count}, {"payload": {"x": value}}, {"payload": value}, {"residue": value},
        {"evidence": GOOD.evidence._replace(bit=bit)}, {"evidence": GOOD.evidence._replace(location=value)},
    ]  # fmt: skip
    author = Author(SimulatedClock(), host="h", boot="b")
    for changes in fields:
        try:
            passed = boundary.finding(changed(**changes))
        except PluginError:
            continue
        author.ereport(Fabric("f" * 16, {}), "mine", passed, 1)
