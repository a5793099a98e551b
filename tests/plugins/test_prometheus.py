"""The exporter: which metrics there are, where their numbers come from, how many series, and what a stuck daemon looks like."""

from __future__ import annotations

import importlib
import re
import socket
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from support.agent import TestHouse, case, load
from support.desk import Desk, Probe, slot_with
from support.event import ereport, suspect
from support.fabric import endpoint, fabric_of, root_port

from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.platform.coverage import Coverage, Heard
from pcifma.plugin import CaseStatus, LatchedBit, LogStatus, Looks, ModuleStatus, Status
from pcifma.plugin.loader import builtin

SECOND = 10**9
CARD, VF = "0000:04:00.0", "0000:04:00.1"
DOCUMENT = Path(__file__).parents[2] / "docs" / "monitoring.md"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def desk(tmp_path: Path, house: TestHouse) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db", fabric=slot_with(serial=0x0002C90300A1B2C3), house=house)
    yield desk
    desk.close()


def exported(desk: Desk, path: Path) -> Samples:
    """What the text file says after the next update."""
    desk.clock.wait_until(desk.clock.boot_ns() + 20 * SECOND)
    desk.settle()
    return samples(path.read_text())


def samples(text: str) -> Samples:
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in parse(text) for s in family.samples}


def at(found: Samples, name: str, **labels: str) -> float | None:
    """The number under *labels*, of which the metric may have more."""
    wanted = set(labels.items())
    numbers = [value for (own, pairs), value in found.items() if own == name and wanted <= set(pairs)]
    assert len(numbers) <= 1, (name, labels, numbers)
    return numbers[0] if numbers else None


def latched(bit: int, class_: str, *, masked: bool = False) -> LatchedBit:
    return LatchedBit(device=CARD, register="r", bit=bit, class_=class_, severity="correctable", masked=masked)


def test_off_costs_nothing(desk: Desk) -> None:
    loaded = load(desk, "prometheus")
    desk.log_events(ereport(0))
    desk.settle()
    assert (loaded.failed, loaded.statistics.delivered, desk.engine.next_due_ns()) == ("", 0, None)


def test_every_number_of_the_daemon_is_exported(desk: Desk, house: TestHouse, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    house.now = Status(
        version="1.2",
        unread={"0000:05:00.0": "busy", "0000:05:00.1": "busy", "0000:06:00.0": "asleep"},
        looks=Looks(
            count=3, last_ns=5 * SECOND, buckets=(1, 0, 1, *[0] * 8, 1), spent_ns=4 * SECOND, reads=77, writes=2, slow={"0000:05:00.0": 3}
        ),
        log=LogStatus(folded=9, errors=4),
        modules=(ModuleStatus(name="msi_lost", version="1", failed="boom"),),
        latched=(
            latched(6, "ereport.io.pciex.dl.btlp"),
            latched(7, "ereport.io.pciex.dl.bdllp", masked=True),
            latched(0, "ereport.io.pciex.pl.speed"),
        ),
        maintenance=True,
        last_drill_ns=7 * SECOND,
    )
    heard = Heard(correctable=True, nonfatal=False, fatal=None)
    house.covered = [
        Coverage(
            device=CARD, type="endpoint", hypervisor="none", role="host", owner="none", served_by=None, msi=None, heard=heard,
            sees="first-only", why=[], plan=["listen", "poll"],
        )
    ]  # fmt: skip
    desk.log_events(ereport(0), ereport(1, count=41), ereport(2, class_="ereport.pcifma.unread"), ereport(3, injected=True))
    case(desk, suspect(certainty=75), suspect(class_="fault.io.pciex.bus-linkerr", certainty=25), severity="Major")
    found = exported(desk, file)

    assert at(found, "pcifma_build_info", version="1.2") == 1
    info = next(dict(labels) for name, labels in found if name == "pcifma_function_info" and ("bdf", CARD) in labels)
    assert info == {
        "bdf": CARD, "segment": "0000", "bus": "04", "device": "00", "function": "0", "vendor_id": "0x15b3", "device_id": "0x1017",
        "class": "0x020000", "slot": "Slot 3", "serial": "0002c90300a1b2c3", "guest": "",
    }  # fmt: skip
    assert at(found, "pcifma_functions", plan="listen+poll") == 1
    assert [at(found, "pcifma_functions_heard", severity="nonfatal", heard=word) for word in ("yes", "no", "unknown")] == [0, 1, 0]
    assert at(found, "pcifma_functions_heard", severity="fatal", heard="unknown") == 1
    assert at(found, "pcifma_functions_unread", reason="busy") == 2
    assert at(found, "pcifma_ereports_total", bdf=CARD) == 42
    assert at(found, "pcifma_ereports_total", **{"class": "io.pciex.dl.btlp"}, severity="correctable") == 42
    assert at(found, "pcifma_ereports_folded_total") == 9
    assert at(found, "pcifma_latched_bits", masked="true") == 1
    assert at(found, "pcifma_latched_bits", bdf=CARD, severity="correctable", masked="false") == 2
    assert at(found, "pcifma_link_degraded", bdf=CARD) == 1
    assert at(found, "pcifma_cases", severity="major", state="solved") == 1
    faults = {"code": "PCIEX-8000-0A", "bdf": CARD, "slot": "Slot 3", "severity": "major", "urgency": "now", "injected": "false"}
    assert at(found, "pcifma_fault_certainty_ratio", **{"class": "fault.io.pciex.device-interr"}, **faults) == 0.75
    assert at(found, "pcifma_fault_start_timestamp_seconds", code="PCIEX-8000-0A", bdf=CARD, slot="Slot 3") == 946684800
    assert at(found, "pcifma_last_look_timestamp_seconds") == 5
    assert [at(found, "pcifma_look_duration_seconds_bucket", le=le) for le in ("0.001", "0.005", "2.5", "+Inf")] == [1, 2, 2, 3]
    assert (at(found, "pcifma_look_duration_seconds_count"), at(found, "pcifma_look_duration_seconds_sum")) == (3, 4)
    assert (at(found, "pcifma_config_reads_total"), at(found, "pcifma_config_writes_total")) == (77, 2)
    assert at(found, "pcifma_slow_reads_total", bdf="0000:05:00.0") == 3
    assert (at(found, "pcifma_module_failed", module="msi_lost"), at(found, "pcifma_module_failed", module="prometheus")) == (1, None)
    assert (at(found, "pcifma_log_errors_total"), at(found, "pcifma_maintenance_active")) == (4, 1)
    assert at(found, "pcifma_last_drill_timestamp_seconds") == 7
    assert not [name for name, labels in found if "uuid" in dict(labels)]


def test_dropped_events_of_a_module_are_counted(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    desk.add("breaks", Probe(on_recv=lambda probe, event: 1 // 0))
    desk.log_events(ereport(0))
    desk.settle()
    desk.log_events(ereport(1), ereport(2))
    found = exported(desk, file)
    assert at(found, "pcifma_module_failed", module="breaks") == 1
    assert (at(found, "pcifma_events_dropped_total", module="breaks") or 0) >= 2


def test_repaired_part_is_no_fault_any_more(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    desk.engine.docket.probation.lasts_ns = 3600 * SECOND
    uuid = case(desk, suspect())
    assert at(exported(desk, file), "pcifma_fault_certainty_ratio") == 1
    desk.engine.docket.set_status(desk.engine.docket.cases[uuid], {0: "repaired"})
    desk.settle()
    found = exported(desk, file)
    assert at(found, "pcifma_fault_certainty_ratio") is None
    assert at(found, "pcifma_cases", state="repaired") == 1


def test_drill_is_marked_and_no_case_is_counted(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    case(desk, suspect(), evidence=ereport(0, injected=True))
    found = exported(desk, file)
    assert at(found, "pcifma_fault_certainty_ratio", injected="true") == 1
    assert (at(found, "pcifma_cases"), at(found, "pcifma_ereports_total")) == (None, None)


def virtual() -> Fabric:
    port = root_port("0000:00:03.0", 4, 4, slot=3)
    plain = fabric_of(port, endpoint(CARD), endpoint(VF))
    functions = dict(plain.functions)
    (vf,) = (f for f in functions.values() if str(f.bdf) == VF)
    (pf,) = (f for f in functions.values() if str(f.bdf) == CARD)
    functions[vf.bdf] = vf._replace(physfn=pf.bdf)
    return Fabric(plain.id, functions)


def test_virtual_functions_count_in_their_physical_function(tmp_path: Path, house: TestHouse) -> None:
    desk = Desk(tmp_path / "log.db", fabric=virtual(), house=house)
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    desk.log_events(ereport(0, device=CARD), ereport(1, device=VF))
    case(desk, suspect(VF))
    found = exported(desk, file)
    assert at(found, "pcifma_ereports_total", bdf=CARD) == 2
    assert at(found, "pcifma_fault_certainty_ratio", bdf=CARD) == 1
    assert not [labels for _, labels in found if ("bdf", VF) in labels]
    desk.close()


def functions(n: int) -> Iterator[str]:
    return (f"{i >> 16:04x}:{i >> 8 & 255:02x}:{i >> 3 & 31:02x}.{i & 7}" for i in range(n))


def test_no_metric_has_more_series_than_allowed_and_none_loses_a_count(desk: Desk, house: TestHouse, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    devices = list(functions(3000))
    events: list[Ereport] = [
        ereport(n, device=device, class_=f"ereport.io.pciex.x{n % 97}", severity=("fatal", "correctable")[n % 2])
        for n, device in enumerate(devices)
    ]
    desk.log_events(*events)
    desk.settle()
    bits = tuple(LatchedBit(device=d, register="r", bit=0, class_="c", severity="fatal", masked=n % 2 == 0) for n, d in enumerate(devices))
    slow = dict.fromkeys(devices, 2)
    desk_cases = tuple(
        CaseStatus(uuid=d, code="C", state="SOLVED", severity="major", urgency="now", opened_ns=1, suspects=(suspect(d),)) for d in devices
    )
    house.now = Status(version="1", looks=Looks(slow=slow), latched=bits)
    desk.engine.status = lambda: Status(version="1", looks=Looks(slow=slow), latched=bits, cases=desk_cases)  # type: ignore[method-assign]
    found = exported(desk, file)
    for name, total in (("pcifma_ereports_total", 3000), ("pcifma_latched_bits", 3000), ("pcifma_slow_reads_total", 6000)):
        values = [value for (own, _), value in found.items() if own == name]
        assert (len(values) <= 512, sum(values)) == (True, total), name
    for name in ("pcifma_fault_certainty_ratio", "pcifma_fault_start_timestamp_seconds"):
        assert [own for own, _ in found].count(name) == 512
        assert at(found, name, bdf="other") is not None
    assert (at(found, "pcifma_slow_reads_total", bdf="other") or 0) > 0


def test_hostile_label_has_no_control_bytes(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    case(desk, suspect(location='a"\n\x1b[2J\u202eb' + "x" * 500))
    found = exported(desk, file)
    (slot,) = {dict(labels)["slot"] for name, labels in found if name == "pcifma_fault_certainty_ratio"}
    assert slot.startswith('a"??[2J?bxxx')
    assert len(slot) == 128


def test_text_file_is_replaced_whole_and_readable_by_the_collector(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "pcifma.prom"
    load(desk, "prometheus", textfile=str(file))
    exported(desk, file)
    first = file.stat()
    with file.open() as old:
        exported(desk, file)
        assert samples(old.read()) != {}  # whoever has the old one open reads all of it
    assert file.stat().st_ino != first.st_ino
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.glob("*prom*")] == ["pcifma.prom"]
    desk.engine.unregister("prometheus")
    assert not file.exists()


def test_text_file_that_cannot_be_written_is_counted(desk: Desk, tmp_path: Path) -> None:
    loaded = load(desk, "prometheus", textfile=str(tmp_path / "none" / "pcifma.prom"))
    desk.clock.wait_until(desk.clock.boot_ns() + 20 * SECOND)
    desk.settle()
    assert (loaded.failed, desk.engine.statistics("prometheus")["textfile-errors"] > 0) == ("", True)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def get(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return samples(answer.read().decode())


def test_http_answers_with_the_numbers_of_the_last_update(desk: Desk, house: TestHouse) -> None:
    port = free_port()
    loaded = load(desk, "prometheus", listen=f"127.0.0.1:{port}")
    assert loaded.failed == ""
    assert get(port) == {}
    house.now = Status(version="1", looks=Looks(last_ns=5 * SECOND))
    desk.clock.wait_until(desk.clock.boot_ns() + 20 * SECOND)
    desk.settle()
    assert at(get(port), "pcifma_last_look_timestamp_seconds") == 5
    house.now = Status(version="1", looks=Looks(last_ns=99 * SECOND))  # the loop does not get to it: stuck
    assert at(get(port), "pcifma_last_look_timestamp_seconds") == 5
    desk.engine.unregister("prometheus")
    with pytest.raises(OSError, match="refused"):
        get(port)


OFF_HOST = ("0.0.0.0:9775", "192.0.2.1:9775", "9775", "localhost:9775", "127.0.0.1:x", "[::]:9775", "127.0.0.1:99999")


@pytest.mark.parametrize("listen", OFF_HOST)
def test_only_loopback_addresses_are_listened_on(desk: Desk, listen: str) -> None:
    loaded = load(desk, "prometheus", listen=listen)
    assert loaded.failed.startswith("PluginError: modules.prometheus.listen: ")


def test_port_in_use_is_named(desk: Desk, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        loaded = load(desk, "prometheus", listen=f"127.0.0.1:{sock.getsockname()[1]}")
    assert "take another port" in loaded.failed


def test_document_has_every_metric_with_its_labels() -> None:
    code = builtin(["prometheus"])[0].code
    metric = importlib.import_module(f"{code.__name__}.metric")
    names = {row.name + ("_total" if row.kind.__name__.startswith("Counter") else ""): row.labels for row in metric.ROWS}
    names[metric.HISTOGRAM] = ()
    rows = re.findall(r"^\| `(pcifma_\w+)(?:\{([^}]*)\})?` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: tuple(labels.split(",")) if labels else () for name, labels in rows} == names
