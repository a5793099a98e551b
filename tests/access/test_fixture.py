from __future__ import annotations

from pathlib import Path

import pytest
from support.image import ENDPOINT, ROOT_PORT, Image, capture

from pcifma.access.fixture import Fixture
from pcifma.access.playback import open_fixture
from pcifma.errors import BusyError, FormatError, GoneError, SourceError, WriteRefusedError
from pcifma.regs.bdf import Bdf

PORT, END = Bdf.parse("0000:00:1c.0"), Bdf.parse("0000:01:00.0")
SECOND = 1_000_000_000


def machine() -> str:
    port = Image(str(PORT), "PCI bridge: Root Port").header(0x8086, 0x3420, 0x060400, header_type=1).buses(0, 1, 1)
    end = Image(str(END), "Ethernet controller: NIC").header(0x15B3, 0x1017, 0x020000)
    return capture(port.express(0x40, ROOT_PORT).aer(), end.express(0x40, ENDPOINT).aer())


def make(where: Path, steps: str, head: str = "about: a test\n") -> Fixture:
    where.mkdir(exist_ok=True)
    (where / "case.yaml").write_text(f"{head}steps:\n{steps}")
    (where / "config.lspci").write_text(machine())
    return open_fixture(where)


def word(fixture: Fixture, bdf: Bdf, offset: int, width: int = 4) -> int:
    return int.from_bytes(fixture.configs[bdf].read(offset, width), "little")


def advance(fixture: Fixture, seconds: float) -> None:
    fixture.clock.advance_to(int(seconds * SECOND))


def test_fixture_starts_in_2000_with_the_registers_of_its_capture(tmp_path: Path) -> None:
    fixture = make(tmp_path / "case", "  - {at: 0s}\n  - {at: 2s}\n")

    assert (fixture.kind, fixture.name, fixture.about) == ("fixture", "case", "a test")
    assert fixture.clock.wall_ns() == 946_684_800 * SECOND
    assert list(fixture.configs) == [PORT, END]
    assert word(fixture, END, 0) == 0x101715B3
    assert (fixture.steps_ns, fixture.end_ns) == ((0, 2 * SECOND), 2 * SECOND)


def test_fixture_step_happens_at_its_time_and_store_before_latch(tmp_path: Path) -> None:
    step = '{at: 1s, latch: {"0000:01:00.0": {ECAP_AER+4.l: 0x40000}}, store: {"0000:01:00.0": {ECAP_AER+4.l: 0x10}}}'
    fixture = make(tmp_path, f"  - {{at: 0s}}\n  - {step}\n")

    advance(fixture, 0.999)
    before = word(fixture, END, 0x104)
    advance(fixture, 1)

    assert (before, word(fixture, END, 0x104)) == (0, 0x40010)


def test_fixture_status_bits_clear_when_written_with_one_and_others_stay(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 0s, store: {"0000:01:00.0": {ECAP_AER+4.l: 0x41000, CAP_EXP+a.w: 0x24}}}\n')
    end = fixture.configs[END]

    end.write(0x104, (0x40000).to_bytes(4, "little"))
    end.write(0x4A, b"\xff\xff")
    end.write(0x100, b"\xff\xff")

    assert word(fixture, END, 0x104) == 0x1000
    assert word(fixture, END, 0x4A, 2) == 0x20  # Transactions Pending is read-only
    assert word(fixture, END, 0x100, 2) == 1


def test_fixture_control_bits_take_what_is_written(tmp_path: Path) -> None:
    fixture = make(tmp_path, "  - {at: 0s}\n")

    fixture.configs[END].write(0x108, b"\x10\x00\x04\x00")

    assert word(fixture, END, 0x108) == 0x00040010


def test_fixture_hot_reset_keeps_sticky_bits_only(tmp_path: Path) -> None:
    steps = '  - {at: 0s, store: {"0000:01:00.0": {ECAP_AER+4.l: 0x1000, CAP_EXP+a.w: 0x4, STATUS: 0x8010}}}\n'
    fixture = make(tmp_path, steps + '  - {at: 1s, reset: ["0000:01:00.0"]}\n')

    advance(fixture, 1)

    assert word(fixture, END, 0x104) == 0x1000
    assert word(fixture, END, 0x4A, 2) == 0
    assert word(fixture, END, 6, 2) == 0x10


@pytest.mark.parametrize(("offset", "data"), [(0x104, b"abc"), (0x105, b"ab"), (0x1000, b"a"), (0x104, b"")])
def test_fixture_refuses_a_write_that_is_no_register(tmp_path: Path, offset: int, data: bytes) -> None:
    fixture = make(tmp_path, "  - {at: 0s}\n")

    with pytest.raises(WriteRefusedError, match=r"0000:01:00\.0"):
        fixture.configs[END].write(offset, data)


def test_fixture_records_every_read_and_write(tmp_path: Path) -> None:
    fixture = make(tmp_path, "  - {at: 0s}\n")
    advance(fixture, 2)

    word(fixture, END, 0x104)
    word(fixture, END, 0x104)
    fixture.configs[END].write(0x4A, b"\x04\x00")

    assert fixture.recorder.reads_of(END) == {(0x104, 4): 2}
    assert fixture.recorder.bytes_read(END) == {0x104, 0x105, 0x106, 0x107}
    assert [(w.bdf, w.offset, w.data, w.boot_ns) for w in fixture.recorder.writes] == [(END, 0x4A, b"\x04\x00", 2 * SECOND)]


def test_fixture_removed_function_is_gone_and_comes_back_as_captured(tmp_path: Path) -> None:
    steps = '  - {at: 0s, latch: {"0000:01:00.0": {ECAP_AER+4.l: 16}}}\n  - {at: 1s, remove: ["0000:01:00.0"]}\n'
    fixture = make(tmp_path, steps + '  - {at: 2s, add: ["0000:01:00.0"]}\n')
    held = fixture.configs[END]

    advance(fixture, 1)
    assert list(fixture.configs) == [PORT]
    with pytest.raises(GoneError):
        held.read(0, 4)
    advance(fixture, 2)

    assert list(fixture.configs) == [PORT, END]
    assert held.read(0x104, 4) == bytes(4)
    uevents = [(r.fields["ACTION"], r.fields["PCI_SLOT_NAME"], r.boot_ns) for r in fixture.host.stream("uevent")]
    assert uevents == [("remove", "0000:01:00.0", SECOND), ("add", "0000:01:00.0", 2 * SECOND)]


def test_fixture_function_that_is_only_added_is_absent_at_first(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 0s}\n  - {at: 1s, add: ["0000:00:1c.0"]}\n')

    first = list(fixture.configs)
    advance(fixture, 1)

    assert (first, list(fixture.configs)) == ([END], [PORT, END])


def test_fixture_fact_reads_as_the_step_says_from_then_on(tmp_path: Path) -> None:
    path = f"/sys/bus/pci/devices/{END}/aer_dev_fatal"
    fixture = make(tmp_path, f'  - {{at: 1s, fact: {{"{path}": "DLP 1\\n"}}}}\n')
    assert fixture.host.read(path) is None
    advance(fixture, 1)
    assert fixture.host.read(path) == b"DLP 1\n"


def test_fixture_fact_is_named_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r'\$.steps\[0\].fact\["aer_dev_fatal"\]: no path of the host'):
        make(tmp_path, '  - {at: 1s, fact: {aer_dev_fatal: "DLP 1"}}\n')


def test_fixture_function_that_will_sleep_may_from_the_start(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 1s, sleep: {"0000:01:00.0": D3hot}}\n')
    control = [fixture.host.read(f"/sys/bus/pci/devices/{bdf}/power/control") for bdf in (END, PORT)]
    assert control == [b"auto\n", None]


def test_fixture_sleeping_function_answers_ones_and_says_so_in_sysfs(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 1s, sleep: ["0000:01:00.0"]}\n  - {at: 2s, wake: ["0000:01:00.0"]}\n')
    facts = [f"/sys/bus/pci/devices/{END}/power_state", f"/sys/devices/pci0000:00/{PORT}/{END}/power/runtime_status"]

    before = [fixture.host.read(fact) for fact in facts]
    advance(fixture, 1)
    asleep = [fixture.host.read(fact) for fact in facts]
    ones = word(fixture, END, 0)
    advance(fixture, 2)

    assert before == [None, None]
    assert asleep == [b"D3cold\n", b"suspended\n"]
    assert ones == 0xFFFFFFFF
    assert [fixture.host.read(fact) for fact in facts] == [b"D0\n", b"active\n"]
    assert word(fixture, END, 0) == 0x101715B3


def test_fixture_function_in_d3hot_still_answers(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 0s, sleep: {"0000:01:00.0": D3hot}}\n')

    assert fixture.host.read(f"/sys/bus/pci/devices/{END}/power_state") == b"D3hot\n"
    assert word(fixture, END, 0) == 0x101715B3


def test_fixture_answers_ones_or_busy_when_told_to(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 0s, answer: {"0000:01:00.0": ones}}\n  - {at: 1s, answer: {"0000:01:00.0": busy}}\n')

    assert word(fixture, END, 0x104) == 0xFFFFFFFF
    advance(fixture, 1)
    with pytest.raises(BusyError):
        fixture.configs[END].read(0x104, 4)


def test_fixture_change_on_read_comes_after_that_read_once(tmp_path: Path) -> None:
    step = '{at: 0s, on_read: {"0000:01:00.0": {ECAP_AER+18.l: {latch: {"0000:01:00.0": {ECAP_AER+4.l: 0x10}}}}}}'
    fixture = make(tmp_path, f"  - {step}\n")

    status_before = word(fixture, END, 0x104)
    word(fixture, END, 0x118)
    fixture.configs[END].write(0x104, b"\x00\x00\x00\x00")

    assert (status_before, word(fixture, END, 0x104)) == (0, 0x10)


def test_fixture_change_on_a_wider_read_that_covers_the_register(tmp_path: Path) -> None:
    step = '{at: 0s, on_read: {"0000:01:00.0": {ECAP_AER+18.l: {store: {"0000:00:1c.0": {CAP_EXP+a.w: 1}}}}}}'
    fixture = make(tmp_path, f"  - {step}\n")

    fixture.configs[END].read(0x104, 0x20)

    assert word(fixture, PORT, 0x4A, 2) == 1


def test_fixture_kernel_records_reach_their_stream_once(tmp_path: Path) -> None:
    fixture = make(tmp_path, '  - {at: 1s, event: {aer_event: [{dev_name: "0000:01:00.0", status: 1}, {dev_name: x}]}}\n')

    advance(fixture, 1)
    first = list(fixture.host.stream("aer_event"))

    assert [dict(r.fields) for r in first] == [{"dev_name": "0000:01:00.0", "status": "1"}, {"dev_name": "x"}]
    assert [r.boot_ns for r in first] == [SECOND, SECOND]
    assert list(fixture.host.stream("aer_event")) == []


def test_fixture_interrupts_add_to_what_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "host/proc").mkdir(parents=True)
    rows = "      CPU0  CPU1\n  24:   10   20  IR-PCI-MSI 458752-edge      PCIe PME, aerdrv\n 25:  1  2  IO-APIC  ahci\n"
    (tmp_path / "host/proc/interrupts").write_text(rows)
    fixture = make(tmp_path, "  - {at: 1s, irq: {aerdrv: 3, 25: 1, pcie-dpc: 2}}\n")

    advance(fixture, 1)

    lines = (fixture.host.read("/proc/interrupts") or b"").decode().splitlines()
    assert lines[1].split()[:3] == ["24:", "13", "20"]
    assert lines[2].split()[:3] == ["25:", "2", "2"]
    assert lines[3].split() == ["pcie-dpc:", "2", "0", "pcie-dpc"]
    assert [r.fields["row"] for r in fixture.host.stream("irq")] == ["aerdrv", "25", "pcie-dpc"]


def test_fixture_names_its_restarts(tmp_path: Path) -> None:
    fixture = make(tmp_path, "  - {at: 1s}\n  - {at: 1500ms, restart: true}\n")

    assert fixture.restarts_ns == (1_500_000_000,)


def test_fixture_platform_facts_and_recorded_names_are_the_machines(tmp_path: Path) -> None:
    kernel = tmp_path / "host/proc/sys/kernel"
    (kernel / "random").mkdir(parents=True)
    (kernel / "hostname").write_text("node7\n")
    (kernel / "random/boot_id").write_text("8a8d4b9c-0000-4000-8000-000000000001\n")
    fixture = make(tmp_path, "  - {at: 0s}\n", 'about: x\nplatform: {hypervisor: xen, msi: "off"}\n')

    assert fixture.platform == {"hypervisor": "xen", "msi": "off"}
    assert (fixture.name, fixture.boot) == ("node7", "8a8d4b9c-0000-4000-8000-000000000001")


def test_fixture_mistakes_are_all_named_at_once(tmp_path: Path) -> None:
    steps = """\
  - {at: 3, latch: {0000:01:00.0: {ECAP_AER+4.l: 1}}}
  - {at: 1s, store: {"0000:01:00.0": {ECAP_AER+4.l: 0x100000000, NOSUCH: 1, STATUS: yes}}, frobnicate: 1}
  - {at: 500ms, sleep: {"0000:01:00.0": D9}, event: {dmesg: {}}}
  - [remove]
"""
    with pytest.raises(FormatError) as caught:
        make(tmp_path, steps, "platform: {msi: off, color: red}\n")

    found = [line.removeprefix(f"{tmp_path}/case.yaml: ") for line in str(caught.value).splitlines()]
    starts = [line.partition(": ")[0] for line in found]
    assert starts == [
        "$.about",
        "$.steps[0].at",
        "$.steps[0].latch",
        "$.steps[1]",
        '$.steps[1].store["0000:01:00.0"]["ECAP_AER+4.l"]',
        '$.steps[1].store["0000:01:00.0"]["NOSUCH"]',
        '$.steps[1].store["0000:01:00.0"]["STATUS"]',
        '$.steps[2].sleep["0000:01:00.0"]',
        "$.steps[2].event",
        "$.steps[3]",
        "$.steps[2].at",
        "$.platform",
        "$.platform.msi",
    ]
    assert 'quote it, as "0000:04:00.0": YAML reads unquoted' in found[2]


def test_fixture_step_for_a_function_or_register_that_is_not_there_is_refused(tmp_path: Path) -> None:
    steps = '  - {at: 0s, remove: ["0000:09:00.0"], latch: {"0000:01:00.0": {ECAP_DPC+8.w: 1}}}\n'

    with pytest.raises(FormatError) as caught:
        make(tmp_path, steps)

    assert str(caught.value).splitlines() == [
        f"{tmp_path}/case.yaml: $.steps[0].remove: 0000:09:00.0 is not in config.lspci",
        f'{tmp_path}/case.yaml: $.steps[0].latch["0000:01:00.0"]["ECAP_DPC+8.w"]: 0000:01:00.0 has no ECAP_DPC in its capability lists',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: [1", r"case.yaml:\d: not YAML"),
        ("about: a\nabout: b\n", r"case.yaml:2: key 'about' is there twice"),
        ("about: &a x\nsteps: *a\n", r"case.yaml:1: anchors and aliases are not taken"),
        ('about: !!int ""\n', r"case.yaml:1: tags are not taken: leave tag:yaml.org,2002:int out"),
        (f"about: {'[' * 200}{']' * 200}\n", r"case.yaml:1: nested deeper than 16 levels"),
        (f"about: 1{':1' * 3000}\n", r"case.yaml:1: a value of more than 2000 characters: quote it"),
        ("about: 2001-99-99\n", r"case.yaml:1: a value is no such date"),
        ("- 1\n", r"case.yaml: \$: \[1\] is no mapping"),
        ("", r"case.yaml: \$: None is no mapping"),
    ],
)
def test_fixture_case_that_is_no_case_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.lspci").write_text(machine())
    (tmp_path / "case.yaml").write_text(text)

    with pytest.raises(FormatError, match=message):
        open_fixture(tmp_path)


def test_fixture_without_config_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text("about: x\n")

    with pytest.raises(SourceError, match=r"config\.lspci is missing: a fixture has case\.yaml and config\.lspci"):
        open_fixture(tmp_path)
