"""Machine checks of processors and memory: do they get here at all, by which way, and if not, why.

hardware, Linux     the kernel takes them by interrupt and poll; its tracepoint tells
Xen dom0            Xen takes them; its poller must see the banks, and somebody in dom0 must fetch what it found
guest               the hypervisor keeps them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pcifma.access.mca.virq import interrupts
from pcifma.access.seam import Host
from pcifma.platform import hest
from pcifma.platform.coverage import MachineChecks, TelemetryWay
from pcifma.platform.hypervisor import Platform
from pcifma.regs.mca import MCG_CAP_ROW

_VERSION = "/sys/hypervisor/version/"
_TRACEFS = ("/sys/kernel/tracing/events/mce/mce_record", "/sys/kernel/debug/tracing/events/mce/mce_record")
# Xen of these versions makes its mask of all banks empty (mca_cap_init); repaired by commit 532988dccc of 2025-09-09.
_FIRST_BLIND, _REPAIRED = (4, 13), {19: 4, 20: 2}
_LAST_BLIND_MINOR = 20
_NEWER = "Xen 4.19.4, 4.20.2, 4.21 or newer (or a build of yours with commit 532988dccc)"
_AMD = frozenset({"amd", "hygon"})
_CMC = 1  # HEST: corrected machine checks (ACPI 6.5, 18.3.2.2)


@dataclass(frozen=True, slots=True)
class _Reason:
    # *corrected*, *uncorrected*: what it closes; *sure*: closes it, or leaves it open.
    text: str
    corrected: bool = True
    uncorrected: bool = True
    sure: bool = True
    help: str = ""


def telemetry(host: Host, platform: Platform) -> MachineChecks:
    """The verdict on this machine. None of a verdict: it cannot be known from here, and why says so."""
    way, reasons = _judged(host, platform)
    verdicts = [_verdict([r for r in reasons if getattr(r, kind)]) for kind in ("corrected", "uncorrected")]
    return MachineChecks(
        corrected=verdicts[0],
        uncorrected=verdicts[1],
        by=way,
        why=[reason.text for reason in reasons],
        help=list(dict.fromkeys(reason.help for reason in reasons if reason.help)),
    )


def _verdict(reasons: list[_Reason]) -> bool | None:
    return False if any(r.sure for r in reasons) else None if reasons else True


def _judged(host: Host, platform: Platform) -> tuple[TelemetryWay, list[_Reason]]:
    if host.read("/proc/cmdline") is None:
        return "none", [_Reason(f"nothing is known of the host (/proc/cmdline: {host.why('/proc/cmdline')})", sure=False)]
    if platform.guest:
        text = "a guest: its hypervisor keeps machine checks, the banks it shows are its own, and only what it makes up itself gets here"
        way: TelemetryWay = "tracepoint" if any(host.entries(place) for place in _TRACEFS) else "none"
        return way, [_Reason(text, help="run pcifma on the host")]
    if platform.hypervisor == "xen":
        return _consumer(host), [*_xen(host, platform), *_fetched(host, platform)]
    if platform.role == "unknown":
        return "none", [_Reason("it cannot be told whether this is a guest", sure=False)]
    return _bare(host)


# Xen.


def _xen(host: Host, platform: Platform) -> Iterator[_Reason]:
    version = _version(host)
    if version is None:
        yield _Reason("Xen's version cannot be read", sure=False)
        return
    facts = dict(part.split("=", 1) for part in _text(host, "/xen-mca/processor").split() if "=" in part)
    vendor = facts.get("vendor") or _vendor(host)
    if is_blind(version):
        yield from _blind(version, vendor, facts.get("mcgcap", ""))
        if count := interrupts(host):
            yield _Reason(f"VIRQ_MCA has come {count} times, and what it announced cannot be had", corrected=False)
    elif vendor in _AMD:
        yield _Reason("Xen has no handler of AMD's machine check exceptions: it drops what it knows of uncorrected errors", corrected=False)


def _blind(version: tuple[int, int, int], vendor: str, cap: str) -> Iterator[_Reason]:
    name = ".".join(map(str, version))
    yield _Reason(f"Xen {name} sees no banks when a machine check exception comes", corrected=False, help=_NEWER)
    if vendor == "intel" and cap:
        if not MCG_CAP_ROW.get("mcg_cmci_p", int(cap, 0)):
            yield _Reason(f"Xen {name} polls no banks, and this processor has no CMCI that would tell it", uncorrected=False, help=_NEWER)
    elif vendor == "intel":
        text = f"Xen {name} polls no banks; corrected errors come only by CMCI, and whether this processor has it cannot be seen"
        yield _Reason(text, uncorrected=False, sure=False, help="modprobe xen-privcmd")
    else:
        yield _Reason(f"Xen {name} polls no banks", uncorrected=False, help=_NEWER)


def is_blind(version: tuple[int, int, int]) -> bool:
    """True for a release of Xen (major, minor, patch) whose poller sees no banks."""
    major, minor, patch = version
    if (major, minor) < _FIRST_BLIND or major != _FIRST_BLIND[0] or minor > _LAST_BLIND_MINOR:
        return False
    return patch < _REPAIRED.get(minor, 1 << 16)


def _version(host: Host) -> tuple[int, int, int] | None:
    major, minor = (_text(host, f"{_VERSION}{name}") for name in ("major", "minor"))
    patch = re.match(r"\.(\d+)", _text(host, f"{_VERSION}extra"))
    return (int(major), int(minor), int(patch[1]) if patch else 0) if major.isdecimal() and minor.isdecimal() else None


def _consumer(host: Host) -> TelemetryWay:
    if host.read("/dev/mcelog") is not None or "mcelog" in host.entries("/dev"):
        return "mcelog"
    return "hypercall" if {"privcmd", "evtchn"} <= set(host.entries("/dev/xen")) else "none"


def _fetched(host: Host, platform: Platform) -> Iterator[_Reason]:
    if platform.flavour == "PVH":
        yield _Reason("a PVH dom0: Xen gives machine checks to a PV dom0 alone", help="boot dom0 as PV")
    elif not host.entries("/dev"):
        yield _Reason("whether dom0 fetches Xen's machine checks is not recorded", sure=False)
    elif _consumer(host) == "none":
        text = "nobody in dom0 fetches Xen's machine checks, and Xen throws them away: no /dev/mcelog, no devices of the hypercall"
        yield _Reason(text, help="modprobe xen-privcmd xen-evtchn, or a kernel with CONFIG_XEN_MCE_LOG")


# Linux.


def _bare(host: Host) -> tuple[TelemetryWay, list[_Reason]]:
    words = set(_text(host, "/proc/cmdline").split())
    if words & {"mce=off", "nomce"}:
        return _banks(host, next(iter(words & {"mce=off", "nomce"})))
    if "mce=ignore_ce" in words:
        way, reasons = _banks(host, "mce=ignore_ce")
        return way, [r for r in reasons if r.corrected]
    reasons = list(_tracepoint(host))
    table = hest.parse(host.read(hest.PATH) or b"")
    if any(source.kind == _CMC and source.firmware_first for source in table.sources):
        text = "firmware takes corrected machine checks first (HEST), and tells what it likes"
        reasons.append(_Reason(text, uncorrected=False, sure=False))
    return ("none" if any(r.sure for r in reasons) else "tracepoint"), reasons


def _tracepoint(host: Host) -> Iterator[_Reason]:
    if any(host.entries(place) for place in _TRACEFS):
        return
    if not host.entries("/sys/devices/system/machinecheck"):
        yield _Reason("the kernel has no machine checks (CONFIG_X86_MCE), or does not say so here", sure=False)
        return
    help_ = "run as root, with tracefs: mount -t tracefs tracefs /sys/kernel/tracing"
    yield _Reason("the kernel takes machine checks; its tracepoint mce:mce_record cannot be seen from here", sure=False, help=help_)


def _banks(host: Host, word: str) -> tuple[TelemetryWay, list[_Reason]]:
    lost = _Reason(f"{word}: an uncorrected error stops the machine, and is told by its banks after the boot at best", corrected=False)
    drop = f"drop {word} from the kernel's line"
    if host.entries("/msr/"):
        first = _Reason(f"{word}: the kernel leaves the banks alone, pcifma reads them: the first error of each, no more", False, False)
        return "msr", [first, lost]
    text = f"{word}: the kernel leaves the banks alone, and they cannot be read from here"
    return "none", [_Reason(text, uncorrected=False, help=f"modprobe msr cpuid, as root; or {drop}"), lost]


def _vendor(host: Host) -> str:
    text = (host.read("/proc/cpuinfo") or b"").decode("utf-8", "replace")
    found = re.search(r"^vendor_id\s*:\s*(\w+)", text, re.MULTILINE)
    return {"GenuineIntel": "intel", "AuthenticAMD": "amd", "HygonGenuine": "hygon"}.get(found[1], found[1]) if found else ""


def _text(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode("utf-8", "replace").strip("\0\n ")
