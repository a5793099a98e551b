"""What `pcifma status` says for people."""

from __future__ import annotations

from typing import Any

import pytest

from pcifma.cli.status import lines

STATUS: dict[str, Any] = {
    "version": "1", "host": "h", "pid": 1, "uid": 990, "started": "now", "waiting": "", "unread": {}, "functions": 2, "last_look": "now",
    "unread_functions": {}, "ereports": 0, "looks": 1, "writes": 0, "writes_refused": 0, "keeper": "root", "clear": False,
    "log": {"path": "/log.db", "seq": 0, "trouble": ""}, "plugins": {"active": 3, "failed": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("children", "said"),
    [
        (None, []),
        ({"running": 0, "uid": 991, "apart": True, "note": ""}, []),
        ({"running": 2, "uid": 991, "apart": True, "note": ""}, ["2 by others, as uid 991"]),
        ({"running": 1, "uid": 65534, "apart": True, "note": "no user\x1b[2J"}, [r"1 by others, as uid 65534 (no user\x1b[2J)"]),
        (
            {"running": 1, "uid": 990, "apart": False, "note": "make one"},
            ["1 by others, as the daemon's own user, whose log they can change (make one)"],
        ),
    ],
)
def test_status_says_as_whom_plugins_of_others_run(children: dict[str, Any] | None, said: list[str]) -> None:
    found = list(lines(STATUS if children is None else STATUS | {"children": children}))
    assert found[-1 - len(said)] == "plugins   3 active"
    assert [line.strip() for line in found[len(found) - len(said) :]] == said
