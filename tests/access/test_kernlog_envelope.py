"""A message is the same whatever it travels in."""

from __future__ import annotations

import json

import pytest

from pcifma.access.kernlog.envelope import opened

MESSAGE = "nvme 0000:02:00.0:    [20] UnsupReq               (First)"


def messages(text: str) -> list[str]:
    return [message.strip() for message in opened(text).messages if message.strip()]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"_TRANSPORT": "kernel", "MESSAGE": MESSAGE}),
        json.dumps({"MESSAGE": list(MESSAGE.encode())}),
        json.dumps({"log": MESSAGE + "\n", "stream": "stdout"}) + ",",
        f"{MESSAGE}<br />",
        f"<p><code>{MESSAGE}</code></p>",
        f"{MESSAGE}`",
        MESSAGE.replace("  ", "&nbsp; "),
        MESSAGE.replace("  ", "\xa0 "),
        f"{MESSAGE}=20",
    ],
)
def test_envelope_is_taken_off(text: str) -> None:
    assert messages(text) == [MESSAGE]


def test_journal_tells_both_times() -> None:
    found = opened(json.dumps({"MESSAGE": MESSAGE, "__REALTIME_TIMESTAMP": "1706382435123456", "__MONOTONIC_TIMESTAMP": "2000000"}))
    assert (found.wall_ns, found.boot_ns) == (1_706_382_435_123_456_000, 2_000_000_000)


@pytest.mark.parametrize("text", ['{"MESSAGE": "cut', '{"MESSAGE": null}', '{"a": ' * 2000, '{"MESSAGE": [1, "x", -4, 999]}', '{"a": 1}'])
def test_broken_objects_are_text_like_any_other(text: str) -> None:
    assert opened(text).messages is not None


def test_page_without_line_ends_has_its_messages_told_apart() -> None:
    stamped = "Apr  8 08:45:41 host kernel: "
    assert messages(f"{stamped}{MESSAGE} {stamped}second kernel: third") == [f"{stamped}{MESSAGE}", f"{stamped}second", "kernel: third"]
    assert messages(f"0x00006000 {stamped}second") == ["0x00006000", f"{stamped}second"]
    assert messages("one<br>two</li><li>three") == ["one", "two", "three"]


def test_a_number_is_no_quoted_printable() -> None:
    for kept in ("mask=3d000001/00000000", "mask=3D000001/00000000", "id=3D00(Receiver ID)", "MASK=20000000"):
        assert messages(kept) == [kept]
