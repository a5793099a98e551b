"""How often Xen has said that there is telemetry: VIRQ_MCA, as /proc/interrupts counts it."""

from __future__ import annotations

from pcifma.access.seam import Host

_INTERRUPTS = "/proc/interrupts"


def interrupts(host: Host) -> int:
    """How often VIRQ_MCA has come, by all processors of dom0."""
    for line in (host.read(_INTERRUPTS) or b"").decode("utf-8", "replace").splitlines():
        words = line.split()
        if words and words[-1] == "mce" and words[0].rstrip(":").isdecimal():
            return sum(int(word) for word in words[1:] if word.isdecimal())
    return 0
