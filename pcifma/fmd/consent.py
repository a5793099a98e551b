"""For which Functions logged bits may be written back: nobody owns their registers, and the operator allowed it.

The keeper checks the owner again at each write; this spares it the asking, and knows more (hypervisor, guests, firmware).
"""

from __future__ import annotations

from pcifma.access.seam import Machine
from pcifma.fabric.fabric import Fabric
from pcifma.regs.bdf import Bdf

_FRESH_NS = 30_000_000_000  # drivers come and go without a change of the fabric


class Consent:
    """Asked for each evidence; judged anew when the fabric has changed, and now and then."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._fabric = ""
        self._judged_ns = 0
        self._allowed: frozenset[Bdf] = frozenset()

    def allows(self, fabric: Fabric, bdf: Bdf) -> bool:
        """True if the plan for *bdf* has `clear` in it."""
        now_ns = self._machine.clock.boot_ns()
        if fabric.id != self._fabric or now_ns - self._judged_ns > _FRESH_NS:
            self._allowed = self._judge(fabric)
            self._fabric, self._judged_ns = fabric.id, now_ns
        return bdf in self._allowed

    def _judge(self, fabric: Fabric) -> frozenset[Bdf]:
        from pcifma.platform.survey import survey  # noqa: PLC0415 - a daemon that may not clear never needs it

        lines = survey(self._machine, fabric, may_clear=True).lines
        return frozenset(line.function.bdf for line in lines if "clear" in line.coverage.plan)
