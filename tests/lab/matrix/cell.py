"""The cells of the matrix: what is injected (a row) at which kind of Function (a place) in which mode, and in which order.

Each error bit goes to each single Function once a mode, so that whoever reports it names the cell by (Function, bit).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..expect import ADVISORY, CORRECTABLE, UNCORRECTABLE, Error
from .mode import Mode, branches

Kind = Literal["correctable", "advisory", "nonfatal", "fatal", "several"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Row:
    """What is injected at one time. *fatal*: how the uncorrectable ones are classed in the Severity register."""

    kind: Kind
    errors: tuple[Error, ...]
    fatal: bool = False

    @property
    def name(self) -> str:
        """The errors as QEMU calls them."""
        return " + ".join(error.name for error in self.errors)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: *node* is the Function of the topology where it is tried."""

    mode: str
    row: Row
    place: str
    node: str


PLACES = {"endpoint": ("ep",), "switch port": ("dn", "up"), "root port": ("rp",)}
_BY_NAME = {error.name: error for error in CORRECTABLE + UNCORRECTABLE}
_ADVISORY = _BY_NAME["ADV_NONFATAL"]
_SEVERAL = (
    (("RCVR", "BAD_DLLP", "REP_TIMER"), False),
    (("COMP_TIME", "UNX_COMP"), False),
    (("MALF_TLP", "DLP", "RX_OVER"), True),
    (("BAD_TLP", "POISON_TLP", "ECRC"), False),
)
ROWS = (
    *(Row("correctable", (error,)) for error in CORRECTABLE),
    *(Row("advisory", (error,)) for error in ADVISORY),
    *(Row("nonfatal", (error,)) for error in UNCORRECTABLE),
    *(Row("fatal", (error,), True) for error in UNCORRECTABLE),
    *(Row("several", tuple(_BY_NAME[name] for name in names), fatal) for names, fatal in _SEVERAL),
)


def pairwise(modes: Sequence[Mode], seed: int) -> dict[str, list[tuple[Row, str]]]:
    """Return cells by mode: each row in each mode, each place in each mode, each row at each place, drawn by *seed*."""
    draw = random.Random(seed)
    places, rows = draw.sample(list(PLACES), len(PLACES)), draw.sample(ROWS, len(ROWS))
    return {
        mode.name: [(row, places[(number + shift) % len(places)]) for number, row in enumerate(rows)] for shift, mode in enumerate(modes)
    }


def every(modes: Sequence[Mode], seed: int) -> dict[str, list[tuple[Row, str]]]:
    """Return every row at every place in every mode, in an order drawn by *seed*."""
    draw = random.Random(seed)
    cells = [(row, place) for row in ROWS for place in PLACES]
    return {mode.name: draw.sample(cells, len(cells)) for mode in modes}


def rounds(mode: Mode, cells: Iterable[tuple[Row, str]]) -> list[list[Cell]]:
    """Return *cells* in rounds that are tried at one time: one cell a branch, no bit twice at one Function."""
    found: list[dict[int, Cell]] = []
    used: set[tuple[str, Error]] = set()
    # Those with most conditions choose first: several at one time, then Advisory Non-Fatal itself and the errors that set it too.
    order = sorted(cells, key=lambda cell: (-len(cell[0].errors), _ADVISORY not in cell[0].errors, cell[0].kind != "advisory"))
    for number, (row, place) in enumerate(order):
        stems = PLACES[place]
        names = {branch: f"{stems[(number + branch) % len(stems)]}{branch}" for branch in branches(mode)}
        bits = (*row.errors, *([_ADVISORY] if row.kind == "advisory" else []))
        free = [branch for branch, name in names.items() if not any((name, error) in used for error in bits)]
        turn, branch = min((_earliest(found, branch), branch) for branch in free)
        if turn == len(found):
            found.append({})
        found[turn][branch] = Cell(mode.name, row, place, names[branch])
        used |= {(names[branch], error) for error in row.errors}
    return [list(turn.values()) for turn in found]


def _earliest(found: Sequence[dict[int, Cell]], branch: int) -> int:
    return next((turn for turn, taken in enumerate(found) if branch not in taken), len(found))
