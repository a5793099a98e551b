"""From machine checks to the part at fault: what convicts a page, a module, a channel, a cache, a core, and what does not."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.agent import load
from support.desk import Desk
from support.event import ereport

from pcifma.errors import PluginError
from pcifma.event.ereport import Ereport
from pcifma.plugin.loader import builtin

HOUR_NS = 3_600_000_000_000
PAGE = {"address": "0000000060000000", "address-lsb": 6, "chip": 0, "channel": 1}
_number = count(1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db")
    load(desk, "mca_diagnosis")
    yield desk
    desk.close()


def error(
    leaf: str, *, severity: str = "correctable", device: str = "cpu3", many: int = 1, first_look: bool = False, **payload: Any
) -> Ereport:
    said = {key.replace("_", "-") if key != "threshold_based_error_status" else key: value for key, value in payload.items()}
    plain = ereport(next(_number))
    return msgspec.structs.replace(
        plain, class_=f"ereport.cpu.{leaf}", severity=severity, device=device, count=many, first_look=first_look, payload=said
    )


def told(desk: Desk, *events: Ereport) -> list[list[str]]:
    """Classes of each case that there is, once *events* are taken."""
    for event in events:
        desk.log_events(event)
        desk.settle()
    return [[suspect.class_ for suspect in case.record.suspects] for case in desk.engine.docket.cases.values()]


def memory(leaf: str = "amd.nb.mem_ce", address: int = 0x6000_0000, **changes: Any) -> Ereport:
    return error(leaf, **{"address": f"{address or 0:016x}", "address_lsb": 6, "chip": 0, "channel": 1, **changes})


def test_a_page_is_convicted_by_its_third_corrected_error_in_three_days(desk: Desk) -> None:
    assert told(desk, memory(), memory()) == []
    assert told(desk, memory(address=0x6000_0FC0)) == [["fault.memory.page"]]
    (case,) = desk.engine.docket.cases.values()
    assert case.record.suspects[0].asru == "mem:///motherboard=0/frame=0x60000"
    assert case.record.code.startswith("MCA-8000-") and case.record.suspects[0].location == "page at 0x60000000"


def test_further_errors_join_the_case(desk: Desk) -> None:
    assert len(told(desk, *(memory() for _ in range(6)))) == 1


def test_errors_days_apart_convict_no_page(desk: Desk) -> None:
    for _ in range(5):
        assert told(desk, memory()) == []
        desk.clock.advance_to(desk.clock.boot_ns() + 40 * HOUR_NS)


def test_counting_outlives_a_restart(desk: Desk) -> None:
    told(desk, memory(), memory())
    desk.restart()
    load(desk, "mca_diagnosis")
    assert told(desk, memory()) == [["fault.memory.page"]]


def test_an_uncorrected_error_convicts_its_page_at_once(desk: Desk) -> None:
    assert told(desk, memory("amd.nb.mem_ue", severity="nonfatal")) == [["fault.memory.page_ue"]]


def test_many_pages_of_one_channel_convict_what_is_on_it(desk: Desk) -> None:
    found = told(desk, *(memory(address=0x1000_0000 + n * 0x1000) for n in range(11)))
    assert found == [["fault.memory.dimm", "fault.memory.datapath"]]


def test_a_module_that_is_known_is_convicted_alone(desk: Desk) -> None:
    found = told(desk, *(memory("intel.quickpath.mem_ce", address=0x1000_0000 + n * 0x1000, dimm=2) for n in range(11)))
    assert found == [["fault.memory.dimm"]]
    (case,) = desk.engine.docket.cases.values()
    assert case.record.suspects[0].fru == "hc:///motherboard=0/chip=0/dram-channel=1/dimm=2"


def test_channels_of_two_sockets_are_two(desk: Desk) -> None:
    assert told(desk, *(memory(address=0x1000_0000 + n * 0x1000, chip=n % 2) for n in range(12))) == []


def test_a_scalable_controller_is_told_by_its_instance(desk: Desk) -> None:
    one: dict[str, Any] = {"unit_key": "umc", "channel": None}
    told(desk, *(memory(address=0x1000_0000 + n * 0x1000, instance=0x50F00, **one) for n in range(11)))
    (case,) = desk.engine.docket.cases.values()
    assert case.record.suspects[0].resource == "hc:///motherboard=0/chip=0/memory-controller=0x50f00"


def test_a_count_is_so_many_errors(desk: Desk) -> None:
    assert told(desk, error("intel.l2dcache", many=4, chip=0)) == [["fault.cpu.intel.l2dcache"]]


def test_a_cache_is_convicted_by_its_fourth_and_yellow_by_its_first(desk: Desk) -> None:
    assert told(desk, *(error("intel.l2dcache", chip=0) for _ in range(3))) == []
    assert told(desk, error("intel.l2dcache", chip=0)) == [["fault.cpu.intel.l2dcache"]]
    assert told(desk, error("intel.l1icache", device="cpu5", threshold_based_error_status="yellow"))[1:] == [["fault.cpu.intel.l1icache"]]


def test_caches_of_two_cores_are_two(desk: Desk) -> None:
    assert told(desk, *(error("intel.l2dcache", device=f"cpu{n % 2}", chip=0) for n in range(6))) == []


def test_a_core_that_lost_data_is_convicted_at_once(desk: Desk) -> None:
    assert told(desk, error("amd.l1dcache_uc", severity="fatal")) == [["fault.cpu.amd.l1dcache"]]
    (case,) = desk.engine.docket.cases.values()
    assert (case.record.urgency, case.record.severity, case.record.suspects[0].device) == ("now", "Critical", "cpu3")


@pytest.mark.parametrize("payload", [{"via": "virtual"}, {"identity": "unchecked"}])
def test_a_processor_that_may_be_another_one_is_not_convicted(desk: Desk, payload: dict[str, Any]) -> None:
    assert told(desk, error("intel.l2dcache_uc", severity="fatal", **payload)) == []


def test_a_timer_accuses_two(desk: Desk) -> None:
    (suspects,) = told(desk, error("intel.internal_timer", severity="fatal"))
    assert suspects == ["fault.cpu.intel.bus_interconnect", "fault.cpu.intel.internal_timer"]


def test_what_stood_when_first_seen_convicts_only_where_it_was_not_corrected(desk: Desk) -> None:
    assert told(desk, *(memory(first_look=True) for _ in range(20))) == []
    assert told(desk, memory("amd.nb.mem_ue", severity="nonfatal", first_look=True)) == [["fault.memory.page_ue"]]


@pytest.mark.parametrize(
    "payload",
    [{"state": "unstable"}, {"via": "msr", "overflow": True}, {"address_lsb": None}, {"address_lsb": 30}],
    ids=["unstable", "overwritten", "no-address", "too-coarse"],
)
def test_an_address_that_may_be_another_error_s_convicts_no_page(desk: Desk, payload: dict[str, Any]) -> None:
    assert told(desk, *(memory(**payload) for _ in range(4))) == []


def test_pages_beyond_number_cost_bounded_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosis: Any = desk.engine.modules["mca_diagnosis"].instance
    monkeypatch.setitem(type(diagnosis)._page_fires.__globals__, "PAGES", 20)
    desk.log_events(*(memory(address=n << 12, channel=None) for n in range(1, 60)))
    desk.settle()
    buffer = desk.engine.modules["mca_diagnosis"].services.get("pages")
    assert buffer is not None and len(msgspec.json.decode(buffer)) == 20
    assert desk.engine.modules["mca_diagnosis"].failed == ""


def test_every_leaf_is_counted_by_some_rule() -> None:
    from pcifma.regs.mca_code import CODES, error_code  # noqa: PLC0415

    rules = part("rule").load(builtin(["mca_diagnosis"])[0].path / "rules.yaml").rules
    leaves = {error_code(row.value).leaf_of(uncorrected=uc) for row in CODES for uc in (False, True)} - {"unknown", "ext_mc"}
    assert [leaf for leaf in sorted(leaves) if not any(rule.fits(leaf) for rule in rules)] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"share": 60}, "the shares add up"),
        ({"fault": "ereport.x"}, "is no fault class"),
        ({"corrected": None, "uncorrected": None}, "never convicts"),
        ({"corrected": {"n": -1, "t_s": 1}}, "n is 0 or more"),
        ({"fault": "fault.strange"}, "has no code"),
        ({"per": "rack"}, "per"),
        ({"unknown": 1}, "unknown field"),
    ],
)
def test_rules_that_are_off_are_refused_with_their_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    rule = {"id": "a", "leaves": ["mc"], "per": "core", "corrected": {"n": 1, "t_s": 1}, "fault": "fault.memory.page", "severity": "Minor",
            "urgency": "now"}  # fmt: skip
    path = tmp_path / "rules.yaml"
    path.write_bytes(msgspec.json.encode({"version": "1", "rules": [{**rule, **change}], "codes": {"MCA": {0: ["fault.memory.page"]}}}))
    with pytest.raises(PluginError, match=said):
        part("rule").load(path)


def part(name: str) -> Any:
    return importlib.import_module(f"{builtin(['mca_diagnosis'])[0].code.__name__}.{name}")
