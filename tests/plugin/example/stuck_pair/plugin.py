"""Transactions Pending that stands for a minute (PCIe Base Spec 7.5.3.5, bit 5)."""

from pcifma.plugin import CAPABILITIES, Evidence, Finding, Target, Watch

EXP = CAPABILITIES["CAP_EXP"]
STATUS = EXP.location(EXP["device_status"])
PENDING = 5
HOLD_S = 60.0
PAIR = (0x15B3, 0x1017)  # vendor and device of both
MAINTENANCE = "/run/maintenance"


def watches(fabric, host):
    for function in [f for f in fabric if (f.vendor, f.device) == PAIR][:2]:
        yield Watch(Target.function(function.bdf), STATUS, 1 << PENDING, when="stays", hold=HOLD_S, tier="fast", facts=(MAINTENANCE,))


def normalise(now, before):
    word = now.word(STATUS)
    held = now.held_s.get(STATUS, 0.0)
    if word and word >> PENDING & 1 and held >= HOLD_S and now.facts.get(MAINTENANCE) is None:
        payload = {"held-s": int(held)}
        yield Finding("ereport.io.pciex.tl.pending", Evidence(now.target, STATUS, PENDING), "nonfatal", payload)
