"""The keeper's answers: what it opens, what it writes, and all that it refuses. Writes go to plain files, which keep a written
one instead of clearing it: what was written is there to be read.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sysfs import (
    CARD,
    CORRECTABLE_STATUS,
    DEVICE_STATUS,
    PORT,
    ROOT_CONTROL,
    ROOT_ERROR_STATUS,
    UNCORRECTABLE_STATUS,
    Sysfs,
)

from pcifma.fmd.keeper.ack import rows
from pcifma.fmd.keeper.keeper import Keeper, Log, open_regular, serve
from pcifma.fmd.keeper.message import FACTS, REPLY_BYTES, REQUEST_BYTES, Kind, Reply, Request, Status, Verb
from pcifma.regs.bdf import Bdf

AER_ID, EXP_ID = 0x0001, 0x10
BAD_TLP, MALFORMED = 1 << 6, 1 << 18


@pytest.fixture
def tree(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def keeper(tree: Sysfs, lines: list[str]) -> Keeper:
    return Keeper(tree.root, clear=True, log=lines.append)


def ack(keeper: Keeper, bits: int, key: tuple[int, int, int, int] = (Kind.EXTENDED, AER_ID, 0x10, 4), *, at: str = CARD) -> Reply:
    reply, fd = keeper.answer(Request(Verb.ACK, 7, Bdf.parse(at), *key, bits).pack())
    assert fd is None
    return reply


def test_open_gives_a_read_only_descriptor_of_the_config_space(keeper: Keeper, tree: Sysfs) -> None:
    reply, fd = keeper.answer(Request(Verb.OPEN, 3, Bdf.parse(CARD)).pack())

    assert (reply.status, reply.number, reply.size) == (Status.OK, 3, 4096)
    assert fd is not None
    assert os.pread(fd, 4, 0) == b"\xb3\x15\x19\x10"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(fd, b"\xff", 0x4A)
    os.close(fd)


def test_open_of_an_absent_function_says_absent(keeper: Keeper) -> None:
    assert keeper.answer(Request(Verb.OPEN, 0, Bdf.parse("0000:99:00.0")).pack())[0].status is Status.ABSENT


@pytest.mark.parametrize("make", ["fifo", "link", "directory"])
def test_open_refuses_whatever_is_no_regular_file(keeper: Keeper, tree: Sysfs, make: str) -> None:
    path = tree.card / "config"
    path.unlink()
    if make == "fifo":
        os.mkfifo(path)
    elif make == "link":
        path.symlink_to("/etc/shadow")
    else:
        path.mkdir()

    reply, fd = keeper.answer(Request(Verb.OPEN, 0, Bdf.parse(CARD)).pack())

    assert (reply.status, fd) == (Status.FAILED, None)


def test_fact_is_opened_by_its_number_alone(keeper: Keeper, tree: Sysfs) -> None:
    tree.hest()

    reply, fd = keeper.answer(Request(Verb.FACT, 0, id=FACTS.index("firmware/acpi/tables/HEST")).pack())

    assert reply.status is Status.OK
    assert fd is not None
    assert os.read(fd, 4) == b"HEST"
    os.close(fd)
    assert keeper.answer(Request(Verb.FACT, 0, id=len(FACTS)).pack())[0].status is Status.BAD


def test_facts_stay_below_sys() -> None:
    assert all(not f.startswith("/") and ".." not in f for f in FACTS)


def test_ack_writes_the_asked_bits_and_no_other(keeper: Keeper, tree: Sysfs) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP | 0x1001, 4)

    reply = ack(keeper, BAD_TLP)

    assert (reply.status, reply.before) == (Status.OK, BAD_TLP | 0x1001)
    assert tree.get(tree.card, CORRECTABLE_STATUS, 4) == BAD_TLP


def test_ack_of_a_bit_that_is_clear_by_now_writes_nothing(keeper: Keeper, tree: Sysfs) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, 0x1, 4)

    reply = ack(keeper, BAD_TLP)

    assert (reply.status, reply.before, reply.after) == (Status.OK, 1, 1)
    assert tree.get(tree.card, CORRECTABLE_STATUS, 4) == 1


def test_ack_of_device_status_leaves_device_control_alone(keeper: Keeper, tree: Sysfs) -> None:
    tree.put(tree.card, DEVICE_STATUS, 0x000F, 2)
    control = tree.get(tree.card, DEVICE_STATUS - 2, 2)

    reply = ack(keeper, 0x4, (Kind.STANDARD, EXP_ID, 0xA, 2))

    assert reply.status is Status.OK
    assert (tree.get(tree.card, DEVICE_STATUS - 2, 2), tree.get(tree.card, DEVICE_STATUS, 2)) == (control, 0x4)


def test_ack_is_logged_with_register_and_values(keeper: Keeper, tree: Sysfs, lines: list[str]) -> None:
    tree.put(tree.card, UNCORRECTABLE_STATUS, MALFORMED, 4)

    ack(keeper, MALFORMED, (Kind.EXTENDED, AER_ID, 4, 4))

    assert lines == [f"wrote 0x40000 to {CARD} extended 0x1+0x4: 0x40000 -> 0x40000"]


def test_ack_without_consent_is_refused(tree: Sysfs, lines: list[str]) -> None:
    keeper = Keeper(tree.root, clear=False, log=lines.append)
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP | 1, 4)

    reply = ack(keeper, BAD_TLP)

    assert reply.status is Status.REFUSED
    assert "configuration" in reply.text
    assert tree.get(tree.card, CORRECTABLE_STATUS, 4) == BAD_TLP | 1


@pytest.mark.parametrize(
    "key",
    [
        (Kind.EXTENDED, AER_ID, 0x14, 4),  # a mask register
        (Kind.EXTENDED, AER_ID, 0x10, 2),  # half a register
        (Kind.EXTENDED, AER_ID, 0x11, 4),  # not at its start
        (Kind.STANDARD, EXP_ID, 0x08, 4),  # Device Control with Device Status
        (Kind.STANDARD, EXP_ID, 0x12, 2),  # Link Status
        (Kind.STANDARD, EXP_ID, 0x1A, 2),  # Slot Status
        (Kind.STANDARD, EXP_ID, 0x20, 4),  # Root Status (PME)
        (Kind.HEADER, 0, 0x04, 2),  # Command
        (Kind.HEADER, 0, 0x3E, 2),  # Bridge Control
        (77, AER_ID, 0x10, 4),  # no such kind
    ],
)
def test_ack_of_a_register_without_a_row_is_refused(keeper: Keeper, tree: Sysfs, key: tuple[int, int, int, int]) -> None:
    before = (tree.card / "config").read_bytes()

    assert ack(keeper, 1, key).status is Status.REFUSED
    assert (tree.card / "config").read_bytes() == before


@pytest.mark.parametrize("bits", [0, 1 << 1, 1 << 31, BAD_TLP | 1 << 2])
def test_ack_of_bits_that_no_row_names_is_refused(keeper: Keeper, tree: Sysfs, bits: int) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, 0x1, 4)

    assert ack(keeper, bits).status is Status.REFUSED
    assert tree.get(tree.card, CORRECTABLE_STATUS, 4) == 1


def test_ack_of_root_error_status_needs_a_root_port(keeper: Keeper, tree: Sysfs) -> None:
    for directory in (tree.card, tree.port):
        tree.put(directory, ROOT_ERROR_STATUS, 0x3, 4)

    key = (Kind.EXTENDED, AER_ID, 0x30, 4)
    assert ack(keeper, 1, key).status is Status.REFUSED
    assert ack(keeper, 1, key, at=PORT).status is Status.OK


def test_ack_of_a_function_that_is_gone_is_refused(keeper: Keeper, tree: Sysfs) -> None:
    (tree.card / "config").write_bytes(b"\xff" * 4096)

    assert "gone" in ack(keeper, BAD_TLP).text


def test_ack_survives_a_looped_chain_and_a_short_file(keeper: Keeper, tree: Sysfs) -> None:
    tree.put(tree.card, 0x100, 0x0003 | 1 << 16 | 0x100 << 20, 4)
    assert ack(keeper, BAD_TLP).status is Status.REFUSED

    (tree.card / "config").write_bytes((tree.card / "config").read_bytes()[:64])
    assert ack(keeper, BAD_TLP).status is Status.REFUSED


def entry(kind: int, size: int, *, flags: int = 0) -> bytes:
    return (kind.to_bytes(2, "little") + bytes(4) + bytes([flags])).ljust(size, b"\0")


def refusal(keeper: Keeper, tree: Sysfs) -> str:
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP | 1, 4)
    reply = ack(keeper, BAD_TLP)
    assert reply.status is Status.REFUSED
    assert tree.get(tree.card, CORRECTABLE_STATUS, 4) == BAD_TLP | 1
    return reply.text


@pytest.mark.parametrize("driver", ["vfio-pci", "pciback", "xen-pciback"])
def test_owner_guest_is_refused(keeper: Keeper, tree: Sysfs, driver: str) -> None:
    tree.bind(tree.card, driver)

    assert refusal(keeper, tree) == f"owner: guest ({driver} holds it)"


@pytest.mark.parametrize(("suffix", "driver"), [("pcie002", "aer"), ("pcie008", "dpc"), ("pcie010", "dpc")])
def test_owner_native_is_refused_by_the_services_driver_not_its_digits(keeper: Keeper, tree: Sysfs, suffix: str, driver: str) -> None:
    tree.service(tree.port, suffix, driver)

    assert refusal(keeper, tree) == f"owner: native ({driver} serves {PORT})"


def test_owner_of_another_host_bridge_does_not_matter(keeper: Keeper, tree: Sysfs) -> None:
    other = tree.root / "devices/pci0000:80/0000:80:01.0"
    other.mkdir(parents=True)
    tree.service(other, "pcie002", "aer")
    tree.service(tree.port, "pcie001", "pcie_pme")
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)

    assert ack(keeper, BAD_TLP).status is Status.OK


@pytest.mark.parametrize("found", [entry(6, 48, flags=1), entry(7, 44, flags=3), entry(8, 56, flags=1), entry(9, 64), entry(10, 92)])
def test_owner_firmware_by_hest_is_refused(keeper: Keeper, tree: Sysfs, found: bytes) -> None:
    tree.hest(entry(2, 20), found)

    assert refusal(keeper, tree).startswith("owner: firmware (HEST")


@pytest.mark.parametrize(
    "table", [b"", b"HEST", b"HEST".ljust(36, b"\0") + b"\1\0\0\0", b"HEST".ljust(36, b"\0") + b"\1\0\0\0" + entry(5, 48), b"X" * 80]
)
def test_owner_unknown_by_a_damaged_hest_is_refused(keeper: Keeper, tree: Sysfs, table: bytes) -> None:
    (tree.root / "firmware/acpi/tables/HEST").write_bytes(table)

    assert refusal(keeper, tree).startswith("owner: unknown (HEST")


def test_owner_none_is_seen_past_machine_check_entries_with_banks(keeper: Keeper, tree: Sysfs) -> None:
    mce = bytearray(entry(0, 40 + 3 * 28))
    mce[32] = 3
    cmc = bytearray(entry(1, 48 + 2 * 28))
    cmc[44] = 2
    tree.hest(bytes(mce), bytes(cmc), entry(6, 48))
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)

    assert ack(keeper, BAD_TLP).status is Status.OK


def test_owner_firmware_by_root_control_is_refused(keeper: Keeper, tree: Sysfs) -> None:
    tree.put(tree.port, ROOT_CONTROL, 0x1, 2)

    assert "Root Control of 0000:00:03.0" in refusal(keeper, tree)


def test_owner_unknown_without_firmware_tables_is_refused(tmp_path: Path, lines: list[str]) -> None:
    tree = Sysfs(tmp_path / "bare", acpi=False)

    assert "firmware tables cannot be seen" in refusal(Keeper(tree.root, clear=True, log=lines.append), tree)


@pytest.mark.parametrize(("fact", "text"), [("power_state", "D3cold"), ("power_state", "D3hot"), ("power/runtime_status", "suspended")])
@pytest.mark.parametrize("which", ["card", "port"])
def test_ack_wakes_neither_a_sleeping_function_nor_its_port(keeper: Keeper, tree: Sysfs, which: str, fact: str, text: str) -> None:
    path = getattr(tree, which) / fact
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text}\n")

    assert "asleep" in refusal(keeper, tree)


def test_rows_are_those_registers_that_the_design_allows() -> None:
    assert set(rows()) >= {
        (Kind.EXTENDED, AER_ID, 0x04, 4),
        (Kind.EXTENDED, AER_ID, 0x10, 4),
        (Kind.EXTENDED, AER_ID, 0x30, 4),
        (Kind.STANDARD, EXP_ID, 0x0A, 2),
        (Kind.HEADER, 0, 0x06, 2),
        (Kind.HEADER, 0, 0x1E, 2),
    }
    assert not set(rows()) & {(Kind.STANDARD, EXP_ID, o, w) for o in (0x12, 0x1A, 0x20) for w in (2, 4)}


@given(st.binary(max_size=REQUEST_BYTES + 4))
def test_fuzz_any_datagram_gets_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    keeper = Keeper(Path("/nonexistent"), clear=True, log=lambda _: None)

    reply, fd = keeper.answer(data)

    assert fd is None
    assert reply.status is not Status.OK
    assert len(reply.pack()) == REPLY_BYTES


STATUS_WORDS = {UNCORRECTABLE_STATUS: 4, CORRECTABLE_STATUS: 4, ROOT_ERROR_STATUS: 4, DEVICE_STATUS: 2, 0x06: 2, 0x1E: 2}
REQUESTS = st.builds(
    Request,
    st.integers(0, 5),
    st.integers(0, 0xFFFF),
    st.sampled_from([Bdf.parse(CARD), Bdf.parse(PORT), Bdf.parse("0000:00:00.0")]),
    st.integers(0, 4),
    st.sampled_from([0, AER_ID, EXP_ID, 0x19, 0xFFFF]),
    st.sampled_from([0x04, 0x06, 0x0A, 0x10, 0x1E, 0x30, 0x3E]) | st.integers(0, 0xFFFF),
    st.sampled_from([0, 1, 2, 4, 8, 0xFFFF]),
    st.integers(0, 31).map(lambda bit: 1 << bit) | st.integers(0, 0xFFFFFFFF),
)


@given(request=REQUESTS, latched=st.integers(0, 0xFFFFFFFF))
def test_fuzz_a_write_changes_one_status_register_and_writes_only_asked_bits_that_are_set(
    tmp_path_factory: pytest.TempPathFactory, request: Request, latched: int
) -> None:
    tree = Sysfs(tmp_path_factory.mktemp("sys"))
    for offset, width in STATUS_WORDS.items():
        tree.put(tree.card, offset, (latched | 0x10 if offset == 0x06 else latched) & (1 << 8 * width) - 1, width)
    before = (tree.card / "config").read_bytes()

    _, fd = Keeper(tree.root, clear=True, log=lambda _: None).answer(request.pack())

    if fd is not None:
        os.close(fd)
    after = (tree.card / "config").read_bytes()
    changed = [at for at, width in STATUS_WORDS.items() if after[at : at + width] != before[at : at + width]]
    assert len(changed) <= 1
    for at in changed:
        width = STATUS_WORDS[at]
        assert tree.get(tree.card, at, width) == int.from_bytes(before[at : at + width], "little") & request.bits
        before = before[:at] + after[at : at + width] + before[at + width :]
    assert after == before


@pytest.fixture
def served(keeper: Keeper, lines: list[str]) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=serve, args=(theirs, keeper, lines.append))
    thread.start()
    ours.settimeout(10)
    with ours, theirs:
        yield ours
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


def test_serve_passes_descriptors_and_survives_rubbish(served: socket.socket, tree: Sysfs) -> None:
    for rubbish in (b"", b"x", b"\0" * REQUEST_BYTES, b"y" * 60_000):
        served.send(rubbish)
        reply = Reply.unpack(served.recv(4096))
        assert reply is not None
        assert reply.status is Status.BAD

    served.send(Request(Verb.OPEN, 9, Bdf.parse(PORT)).pack())
    data, fds, _, _ = socket.recv_fds(served, 4096, 4)

    assert Reply.unpack(data) == Reply(Status.OK, 9, Verb.OPEN, size=4096)
    assert stat.S_ISREG(os.fstat(fds[0]).st_mode)
    os.close(fds[0])


def test_serve_keeps_no_descriptor_that_is_sent_to_it(served: socket.socket) -> None:
    reader, writer = os.pipe()
    socket.send_fds(served, [b"z"], [writer])
    os.close(writer)
    served.recv(4096)

    assert os.read(reader, 1) == b""  # every copy of the write end is closed
    os.close(reader)


def test_serve_drops_replies_that_nobody_takes(served: socket.socket, lines: list[str]) -> None:
    request = Request(Verb.OPEN, 1, Bdf.parse("0000:99:00.0")).pack()
    served.settimeout(10)
    for _ in range(2000):
        served.send(request)

    assert Reply.unpack(served.recv(4096)) is not None


def test_log_is_bounded_and_says_how_much_was_left_out() -> None:
    written: list[str] = []
    now = [0.0]
    log = Log(written.append, lambda: now[0])

    for _ in range(100):
        log("noise")
    now[0] = 11.0
    log("later")

    assert len(written) == 22
    assert written[-2:] == ["pcifma keeper: 80 more lines left out", "pcifma keeper: later"]


def test_open_regular_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config")

    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "config", os.O_RDONLY)
