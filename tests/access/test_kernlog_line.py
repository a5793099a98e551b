"""Lines of a log lose what stands before the message, whoever wrote it."""

from __future__ import annotations

import io

import pytest

from pcifma.access.kernlog.line import PIECE_CHARS, Line, lines, strip, wall_ns

MESSAGE = "pcieport 0000:00:1c.5: AER: enabled with IRQ 122"


def all_lines(text: str | bytes) -> list[Line]:
    return list(lines(io.BytesIO(text.encode() if isinstance(text, str) else text)))


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[  283.716441] ",
        "[283.716441] ",
        "[    0.000000][    T0] ",
        "[  283.716441] [ C1] ",
        "[  T292] ",
        "<4>[  283.716441] ",
        "<4>",
        "kern  :warn  : [  283.716441] ",
        "Sep 19 16:18:02 host kernel: [68183.615790] ",
        "Sep  9 16:18:02 host kernel: ",
        "Mon Sep 19 16:18:02 2022 host kernel: ",
        "[Mon Sep 19 16:18:02 2022] ",
        "2024-05-06T07:08:09+0200 host kernel: ",
        "2024-05-06T07:08:09.123456+02:00 host kernel: [  283.716441] ",
        "2024-05-06T07:08:09.123Z In(182) vmkernel: cpu0:2097)",
        "2025-03-09T15:12:05.957Z cpu0:2098206)",
        "[ 1234.567890] host kernel: ",
        "6,1234,5000004,-;",
        "> > [  283.716441] ",
        ">[  283.716441] ",
        "kernel: ",
        "[Jan27 19:27] ",
        "[  +0.000017] ",
        "[  283.716441 <    0.000002>] ",
        "[<    0.000002>] ",
        "[  283.716441]\t",
        "Tue 2024-01-02 03:04:05 CET host kernel: ",
        "<4>1 2024-01-02T03:04:05.003Z host kernel - - - ",
        '<4>1 2024-01-02T03:04:05.003Z host kernel - - [meta sequenceId="7"] [  283.716441] ',
        "/var/log/kern.log:Jan  2 03:04:05 host kernel: ",
        "kern.log.2.gz:17:[  283.716441] ",
        "    MESSAGE=",
        "(XEN) [  283.716441] ",
        "&gt; &lt;4&gt;[  283.716441] ",
        '<span class="time">[&nbsp; 283.716441]</span> ',
        "[\xa0 283.716441] ",
    ],
)
def test_prefix_is_stripped(prefix: str) -> None:
    assert [line.text for line in all_lines(prefix + MESSAGE)] == [MESSAGE]


def test_stamp_is_boot_time_in_ns() -> None:
    assert strip(1, "[ 1401126.140729] x").boot_ns == 1_401_126_140_729_000
    assert strip(1, "6,1234,5000004,-;x").boot_ns == 5_000_004_000


def test_wall_time_needs_date_and_zone() -> None:
    assert wall_ns("2024-05-06T07:08:09.25+02:00 ") == 1_714_972_089_250_000_000
    assert wall_ns("2024-05-06 07:08:09") is None
    assert wall_ns("2024-13-41T07:08:09Z") is None


def test_header_before_the_stamp_gives_the_wall_time() -> None:
    (line,) = all_lines("2024-05-06T07:08:09Z host kernel: [    1.500000] message")
    assert (line.wall_ns, line.boot_ns, line.text) == (1_714_979_289_000_000_000, 1_500_000_000, "message")


def test_two_messages_in_one_line_are_two() -> None:
    found = all_lines("[    1.000000] first [12] Timeout[    2.000000] second")
    assert [(line.number, line.text) for line in found] == [(1, "first [12] Timeout"), (1, "second")]


def test_line_numbers_are_those_of_an_editor() -> None:
    found = all_lines("one\r\n\r\n\r\r\nfour\nfive")
    assert [(line.number, line.text) for line in found] == [(1, "one"), (4, "four"), (5, "five")]


def test_long_line_comes_in_pieces_with_one_number() -> None:
    found = all_lines("x" * (2 * PIECE_CHARS + 1) + "\nend")
    assert [line.number for line in found] == [1, 1, 1, 2]
    assert max(len(line.text) for line in found) == PIECE_CHARS


def test_control_bytes_never_come_through() -> None:
    (line,) = all_lines(b"\x1b[31mpcieport\x1b[0m 0000\x07:00\xff:1c.5: \x00x")
    assert line.text == "pcieport 0000:00�:1c.5: x"


def test_utf_16_of_a_windows_terminal_is_read() -> None:
    assert [line.text for line in all_lines(f"[    1.000000] {MESSAGE}\r\n".encode("utf-16"))] == [MESSAGE]


def test_wrapped_message_is_put_together() -> None:
    text = (
        "[    1.000000] a 0000:00:01.0: PCIe Bus Error: severity=Uncorrected\n(Non-Fatal), type=Transaction Layer,\n(Requester ID)\nHello"
    )
    assert [line.text for line in all_lines(text)] == [
        "a 0000:00:01.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)",
        "Hello",
    ]


def test_whole_message_takes_no_words_of_the_next_line() -> None:
    text = "[    1.000000] a 0000:00:01.0:    [14] CmpltTO\nAny idea what this is?"
    assert len(all_lines(text)) == 2


def test_address_alone_goes_on_with_the_line_before() -> None:
    (line,) = all_lines("[    1.000000] pcieport 0000:00:1c.0: AER: Corrected error received:\n0000:00:1c.0\n")
    assert line.text == "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:00:1c.0"


def test_mail_in_quoted_printable_is_put_together_where_it_was_cut() -> None:
    text = (
        "> [    1.000000] igb 0000:09:00.0: PCIe Bus Error: severity=3DUncorre=\n"
        "cted (Non-Fatal), type=3DTransaction Layer=\n, (Requester ID)\n"
    )
    assert [line.text for line in all_lines(text)] == [
        "igb 0000:09:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)"
    ]


@pytest.mark.parametrize("cut", ["status/=\nmask=3D00004000/0", "status/mask=3D=\n00004000/0", "status/mask=\n00004000/0"])
def test_cut_at_an_equals_sign_keeps_the_number(cut: str) -> None:
    (line,) = all_lines(f"[    1.000000] igb 0000:09:00.0:   device [8086:1537] error {cut}\n")
    assert line.text.endswith("status/mask=00004000/0")


def test_a_line_that_syslog_says_came_again_comes_again() -> None:
    log = (
        "Mar  3 10:00:00 h kernel: EDAC MC0: 1 CE error\n"
        "Mar  3 10:00:05 h last message repeated 2 times\n"
        "Mar  3 10:00:06 h kernel: message repeated 3 times: [ [   12.500000] pcieport 0000:00:1c.0: AER: Corrected error received: 1c.0]\n"
        "Mar  3 10:00:07 h kernel: message repeated 999999999 times: [ x]\n"
    )
    found = list(lines(io.BytesIO(log.encode())))
    assert [(one.number, one.text) for one in found[:3]] == [
        (1, "EDAC MC0: 1 CE error"), (2, "EDAC MC0: 1 CE error"), (2, "EDAC MC0: 1 CE error"),
    ]  # fmt: skip
    assert [(one.number, one.boot_ns) for one in found[3:6]] == [(3, 12_500_000_000)] * 3
    assert found[5].text.endswith("1c.0") and len(found) == 6 + 1000
    many = lines(io.BytesIO(b"message repeated 1000 times: [ x]\n" * 300))
    assert sum(1 for _ in many) == 100_000
