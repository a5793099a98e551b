"""What the soak makes of its notes; and a soak of some minutes, with all that it is about."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lab import soak


def note(at: float, looks: int, life: int = 1, own_kib: int = 30000, **more: Any) -> dict[str, Any]:
    common = {"ms": [10.0], "longest_look_s": 0.1, "trouble": "", "unread": 0, "all_kib": 50000, "failed": [], "refused": []}
    return {"at": at, "looks": looks, "life": life, "own_kib": own_kib, **common, **more}


def test_looks_that_fall_short_by_two_intervals_are_late() -> None:
    (life,) = soak.lives([note(0, 1), note(5, 6), note(10, 8), note(15, 13)])
    assert life.late == 1


def test_growth_is_counted_once_a_life_has_settled() -> None:
    rows = [note(5 * n, 5 * n, own_kib=30000 + (1000 if n < soak.SETTLED else 0) + 10 * n) for n in range(20)]
    first, second = soak.lives([*rows, note(0, 1, life=2), {"life": 2, "down": "ConnectionRefusedError"}])
    assert (first.growth_kib, second.growth_kib) == (10 * (19 - soak.SETTLED), 0)


def test_counts_are_of_the_errors_that_are_injected() -> None:
    events = [
        {"class": "ereport.io.pciex.dl.btlp", "device": "0000:01:00.0", "count": 2},
        {"class": "ereport.io.pciex.dl.btlp", "device": "0000:01:00.0", "count": 1},
        {"class": "ereport.io.pci.fabric", "device": "0000:01:00.0", "count": 1},
        {"class": "ereport.io.pciex.rc.ce-msg", "device": "0000:00:03.0", "count": 1},
    ]
    assert soak.counted(events) == Counter({("0000:01:00.0", "dl.btlp"): 3})


def test_modules_that_misbehave_are_programs() -> None:
    for every, body in soak.BAD.values():
        compile(soak.step(every, body).replace("\n        ", "\n"), "recv", "exec")


def test_an_error_that_was_not_counted_is_said() -> None:
    done = Counter({("0000:01:00.0", "dl.btlp"): 3})
    said = "\n".join(soak.words(done, [note(0, 1), note(5, 6)], []))
    assert "0000:01:00.0 dl.btlp: injected 3, counted 0" in said
    assert "late by two intervals 0" in said


@pytest.mark.lab_long
def test_soak_of_some_minutes_counts_every_error_once(tmp_path: Path) -> None:
    done, rows, events = soak.run(10, 1.0)
    print("\n".join(soak.words(done, rows, events)))
    assert sum(done.values()) > 100
    assert soak.counted(events) == done
    assert len(soak.lives(rows)) > 1
    assert not any(one["trouble"] for life in soak.lives(rows) for one in life.notes)
