"""Lines of tracefs text become records, and damage is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.errors import FormatError
from pcifma.xpv.line import Enter, Exit, Lost, Record, parse

HEAD = "              xl-195     [002] ...1.    12.176662: "
ENTER = HEAD + "enter: (privcmd_ioctl+0x4/0xce0 [xen_privcmd]) cmd=0x305000 op=36 a0=0x7f01 a1=0x2 d0=0x1500000001 d1=0xffff"
EXIT = HEAD + "exit: (__x64_sys_ioctl+0x97/0xc0 <- privcmd_ioctl) ret=-25"


def test_parse_reads_an_entry() -> None:
    record = parse(ENTER)
    assert isinstance(record, Enter)
    assert (record.cpu, record.tid, record.comm, record.time_ns, record.layer) == (2, 195, "xl", 12_176_662_000, "kernel")
    assert (record.command, record.words, record.behind0) == (0x305000, (36, 0x7F01, 2, 0, 0, 0), (0x1500000001, 0xFFFF))


def test_parse_reads_a_return() -> None:
    record = parse(EXIT)
    assert isinstance(record, Exit)
    assert (record.result, record.op, record.behind0, record.again) == (-25, None, (), False)


def test_parse_reads_the_second_probe_of_a_return() -> None:
    record = parse(HEAD + "exit2: (__x64_sys_ioctl+0x97/0xc0 <- privcmd_ioctl) ret=0 op=13 dd=4 mres=4")
    assert isinstance(record, Exit)
    assert (record.again, record.op, record.behind0) == (True, 13, (0, 4))


def test_parse_reads_nested_brackets_of_a_return_address() -> None:
    record = parse(HEAD + "exit: ([unknown/kretprobe'd] <- privcmd_ioctl) ret=18446744073709551578")
    assert isinstance(record, Exit)
    assert record.result == -38


def test_parse_reads_arrays_and_nanoseconds() -> None:
    record = parse("a b-c-7 ( 7) [000] 1.000000001: enter: cmd=0x305000 op=13 d={0x1,0x2} n={0x3} nb={0x4,0x5}")
    assert isinstance(record, Enter)
    assert (record.comm, record.tid, record.time_ns) == ("a b-c", 7, 1_000_000_001)
    assert (record.behind0, record.nested) == ((1, 2), ((3,), (4, 5)))


def test_parse_takes_the_name_of_the_command_from_its_own_field() -> None:
    record = parse(ENTER + ' comm="evil op=35 d0=0x1"')
    assert isinstance(record, Enter)
    assert (record.comm, record.words[0]) == ("evil op=35 d0=0x1", 36)


def test_parse_tells_library_probes_from_the_kernels() -> None:
    record = parse(HEAD + "ioc: (0x7f88bd2ecd30) cmd=0x305000 fd=5 op=17 a0=0x0 d0=0x0 d1=0x0")
    assert isinstance(record, Enter)
    assert record.layer == "library"


def test_parse_reads_other_names_by_their_function() -> None:
    assert isinstance(parse(HEAD + "hcall: (privcmd_ioctl+0x0/0xbe0 [xen_privcmd]) cmd=0x305000 op=36 a0=0x1 domctl=1"), Enter)
    assert isinstance(parse(HEAD + "hret: (__x64_sys_ioctl+0x90/0xd0 <- privcmd_ioctl) ret=0x0"), Exit)


@pytest.mark.parametrize("text", ["", "\n", "# tracer: nop", HEAD + "sys_ioctl(fd: 2, cmd: 5401, arg: 7ffd)", HEAD + "sys_ioctl -> 0x0"])
def test_parse_leaves_comments_and_foreign_events(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(("text", "record"), [("CPU:3 [LOST 42 EVENTS]", Lost(3, 42)), ("CPU:0 [LOST EVENTS]\n", Lost(0, 0))])
def test_parse_reads_lost_events(text: str, record: Record) -> None:
    assert parse(text) == record


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0000:00:1f.0 ISA bridge", "no line of a trace"),
        (ENTER[:-3] + "zz", "no number"),
        (HEAD + "enter: (privcmd_ioctl+0x4/0xce0 [xen_privcmd])", "without its fields"),
        (HEAD + "enter: cmd=0x305000 d={0x1,0x2", "no list of words"),
        (HEAD + f"enter: cmd=0x305000 d={{{','.join(['0x0'] * 65)}}}", "more than any probe reads"),
        ("xl-1 [000] 123456: exit: (a <- privcmd_ioctl) ret=0", "mono"),
    ],
)
def test_parse_names_the_damage_and_the_remedy(text: str, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse(text)


@given(st.text(max_size=300))
def test_parse_survives_any_text(text: str) -> None:
    _parse_or_refuse(text)


@given(st.integers(0, len(ENTER)), st.text(max_size=20), st.integers(0, 60))
def test_parse_survives_damage(at: int, inserted: str, removed: int) -> None:
    _parse_or_refuse(ENTER[:at] + inserted + ENTER[at + removed :])


def _parse_or_refuse(text: str) -> None:
    try:
        record = parse(text)
    except FormatError as err:
        assert "\n" not in str(err)
    else:
        assert record is None or isinstance(record, Enter | Exit | Lost)
