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
        self._refusals: dict[Bdf, str] = {}

    def allows(self, fabric: Fabric, bdf: Bdf) -> bool:
        """True if the plan for *bdf* has `clear` in it."""
        return not self.refusal(fabric, bdf)

    def refusal(self, fabric: Fabric, bdf: Bdf) -> str:
        """Why the registers of *bdf* are not ours to write, in a few words: who owns them, or that it sleeps. Empty where they are."""
        now_ns = self._machine.clock.boot_ns()
        if fabric.id != self._fabric or now_ns - self._judged_ns > _FRESH_NS:
            self._refusals = self._judge(fabric)
            self._fabric, self._judged_ns = fabric.id, now_ns
        return self._refusals.get(bdf, "no such Function is here")

    def renew(self) -> None:
        """Judge anew when next asked."""
        self._fabric = ""

    def _judge(self, fabric: Fabric) -> dict[Bdf, str]:
        from pcifma.platform.survey import survey  # noqa: PLC0415 - a daemon that may not clear never needs it

        found = survey(self._machine, fabric, may_clear=True)
        refusals: dict[Bdf, str] = {}
        for line in found.lines:
            coverage, function = line.coverage, line.function
            reasons = found.situation.owner(function).reasons
            if "clear" in coverage.plan:
                refusals[function.bdf] = ""
            elif function.unread:
                refusals[function.bdf] = f"{function.unread}: not touched"
            elif coverage.owner == "guest":
                refusals[function.bdf] = f"owner: guest{f' {coverage.guest}' if coverage.guest else ''} ({function.driver} holds it)"
            else:
                refusals[function.bdf] = f"owner: {coverage.owner} ({reasons[0] if reasons else 'no reason known'})"
        return refusals
