"""Which bits may be written back: those that stand in the latched set, each under the uuid of the ereport that is logged of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from pcifma.event.identity import ereport_uuid
from pcifma.fabric.fmri import identity
from pcifma.fmd.acknowledge import Claim, has_row
from pcifma.fmd.order import Order
from pcifma.plugin.watch import Evidence, Target
from pcifma.poll.latched import Standing
from pcifma.poll.poller import Poller
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

DEVICE_STATUS = Location("CAP_EXP", 0xA, 2)
_FUNCTION_SLASHES = 3  # in the identity of a Function, at least; the host, a processor and a domain have none


def uuid_of(host: str, row: Standing) -> str:
    """The uuid of the ereport that is logged of *row*."""
    return ereport_uuid(host, row.boot, row.target, row.register, row.bit, occurrence=row.occurrence)


def standing(poller: Poller, bdf: Bdf) -> Iterator[Claim]:
    """What stands at *bdf* and is a register's bit."""
    function = poller.fabric.get(bdf)
    for row in poller.latched.standing(identity(poller.fabric, function)) if function is not None else ():
        with contextlib.suppress(ValueError):  # a fact's path is no register
            yield uuid_of(poller.maker.host, row), Evidence(Target.function(bdf), Location.parse(row.register), row.bit)


def shadows(poller: Poller, claims: Iterable[Claim]) -> Iterator[Claim]:
    """The Device Status bits beside the AER bits of *claims*: explained by these, they have no ereports of their own (contract 1.1)
    and go with them.
    """
    with_aer: dict[Target, str] = {}
    for uuid, evidence in claims:
        if isinstance(evidence.location, Location) and evidence.location.capability == "ECAP_AER":
            with_aer.setdefault(evidence.target, uuid)
    for target, uuid in sorted(with_aer.items()):
        word = poller.word(target.bdf, DEVICE_STATUS) or 0
        yield from ((uuid, Evidence(target, DEVICE_STATUS, bit)) for bit in range(4) if word >> bit & 1)


def ordered(poller: Poller, order: Order) -> list[Claim]:
    """What *order* writes back; what it leaves alone, and why, goes into its answer."""
    answer, found = order.answer, []
    answer.ereports += [uuid_of(poller.maker.host, row) for row in _stood(poller, order)]
    missing = sorted((order.functions or frozenset()) - poller.fabric.functions.keys())
    answer.refused += [(str(bdf), "no such Function is here") for bdf in missing]
    for function in poller.fabric:
        claims = list(standing(poller, function.bdf)) if order.covers(function.bdf) else []
        writable = [claim for claim in claims if isinstance(claim[1].location, Location) and has_row(claim[1].location)]
        left = by_register(claim for claim in claims if claim not in writable)
        answer.left += [(str(function.bdf), register, bits) for register, bits in left.items()]
        why = order.refusal(poller.fabric, function.bdf) if writable else ""
        if why:
            answer.refused.append((str(function.bdf), why))
        else:
            found += writable
    return [*found, *shadows(poller, found)]


def _stood(poller: Poller, order: Order) -> Iterator[Standing]:
    here = {identity(poller.fabric, function) for function in poller.fabric if order.covers(function.bdf)}
    for row in poller.latched.everywhere():
        if row.target in here or (order.functions is None and row.target.count("/") < _FUNCTION_SLASHES):
            yield row


def by_register(claims: Iterable[Claim]) -> dict[str, int]:
    """The bits of *claims* by setpci's name of their register."""
    found: dict[str, int] = {}
    for _, evidence in claims:
        found[str(evidence.location)] = found.get(str(evidence.location), 0) | 1 << evidence.bit
    return found
