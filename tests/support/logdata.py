"""Reading the log samples of tests/access/data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeVar

from pcifma.access.kernlog.reader import reports
from pcifma.access.kernlog.report import AnyReport

DATA = Path(__file__).parents[1] / "access/data"
R = TypeVar("R")


def sample(name: str) -> list[AnyReport]:
    with (DATA / name).open("rb") as log:
        return list(reports(log))


def read(text: str | bytes) -> list[AnyReport]:
    return list(reports(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def only(kind: type[R], found: list[AnyReport]) -> list[R]:
    return [report for report in found if isinstance(report, kind)]
