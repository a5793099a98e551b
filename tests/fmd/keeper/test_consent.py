"""One-time consent: only what root itself left, lately, for that Function, counts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from support.sysfs import CARD, CORRECTABLE_STATUS, PORT, Sysfs

from pcifma.fmd.keeper import consent
from pcifma.fmd.keeper.consent import EVERY, LASTS_NS, give, given, now_ns
from pcifma.fmd.keeper.keeper import Keeper
from pcifma.fmd.keeper.message import Kind, Request, Status, Verb
from pcifma.regs.bdf import Bdf

CARD_BDF, PORT_BDF = Bdf.parse(CARD), Bdf.parse(PORT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "consent"


def test_consent_is_for_the_named_functions_while_it_lasts(path: Path) -> None:
    with give(path, [CARD]):
        assert given(path, CARD_BDF)
        assert not given(path, PORT_BDF)
        assert path.stat().st_mode & 0o777 == 0o600

    assert not path.exists()
    assert not given(path, CARD_BDF)


def test_consent_may_be_for_all(path: Path) -> None:
    with give(path, [EVERY]):
        assert given(path, CARD_BDF)
        assert given(path, PORT_BDF)


def test_second_command_waits_until_the_first_has_its_answer(path: Path) -> None:
    with give(path, [CARD]), path.with_name("consent.lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.with_name("consent.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert path.with_name("consent.lock").stat().st_mode & 0o777 == 0o600


def test_consent_that_was_left_behind_runs_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with give(path, [CARD]):
        later_ns = now_ns() + LASTS_NS + 1
        monkeypatch.setattr(consent, "now_ns", lambda: later_ns)
        assert not given(path, CARD_BDF)


NONE = ["", "pcifma consent 1\n", f"pcifma consent 2\n0\n{CARD}\n", f"pcifma consent 1\nnow\n{CARD}\n", "\xff" * 99]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_consent_counts_for_nothing(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)

    assert not given(path, CARD_BDF)


@pytest.mark.parametrize("doubt", ["group may write it", "the directory", "a link", "a directory", "somebody else's", "a fifo"])
def test_doubtful_consent_counts_for_nothing(path: Path, doubt: str) -> None:
    with give(path, [CARD]):
        assert given(path, CARD_BDF)
        if doubt == "group may write it":
            path.chmod(0o620)
        elif doubt == "the directory":
            path.parent.chmod(0o777)
        elif doubt == "somebody else's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(path, 12345, -1)
        else:
            path.rename(path.with_name("real"))
            if doubt == "a link":
                path.symlink_to("real")
            elif doubt == "a fifo":
                os.mkfifo(path, 0o600)
            else:
                path.mkdir()
        assert not given(path, CARD_BDF)
        if doubt == "a directory":
            path.rmdir()


def test_keeper_writes_with_consent_and_not_without(tmp_path: Path, path: Path) -> None:
    tree = Sysfs(tmp_path / "sys")
    tree.put(tree.card, CORRECTABLE_STATUS, 0x41, 4)
    keeper = Keeper(tree.root, clear=False, consent=path, log=lambda _: None)
    request = Request(Verb.ACK, 1, CARD_BDF, Kind.EXTENDED, 1, 0x10, 4, 0x40).pack()

    assert keeper.answer(request)[0].text == "clearing is not allowed by the configuration"
    with give(path, [PORT]):
        assert keeper.answer(request)[0].status is Status.REFUSED
    with give(path, [CARD]):
        assert keeper.answer(request)[0].status is Status.OK
    assert keeper.answer(request)[0].status is Status.REFUSED
