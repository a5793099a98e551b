"""Who owns AER below each host bridge, and why: durable signs first, logs last.

    native    an `aer` port service is bound to a Root Port or RCEC there
    firmware  it is not, and HEST, GHES, Root Control or EEH say that firmware takes the errors
    none      it is not, and there is no sign of firmware
    hidden    a guest's bus without any Root Port: the root complex is somebody else's
    unknown   what decides cannot be read from here

A Function that is given to a guest is the guest's, whoever owns the host bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pcifma.access.seam import Host
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform import hest
from pcifma.platform.coverage import Owner
from pcifma.platform.hypervisor import Platform
from pcifma.platform.view import View
from pcifma.regs.exp import EXP, DevType

Root = tuple[int, int]

EEH = "/proc/powerpc/eeh"  # of POWER's Extended Error Handling: "EEH Subsystem is enabled", or "globally disabled"
SERVICES = "/sys/bus/pci_express/devices"
GUEST_DRIVERS = frozenset({"vfio-pci", "pciback", "xen-pciback"})
SERVING = frozenset({DevType.ROOT_PORT, DevType.RCEC})
SYSTEM_ERRORS = 0b111  # Root Control: System Error on Correctable, Non-Fatal, Fatal Error Enable

# Words of the command line that keep Linux from owning AER, and how.
BLOCKING_OPTIONS = {
    "pci=noaer": "switches AER off",
    "pci=nomsi": "switches MSI off, and AER with it",
    "pci=nommconf": "hides extended configuration space on x86, and AER in it",
    "pcie_aspm=off": "keeps Linux from asking firmware for AER",
    "pcie_ports=compat": "keeps Linux from asking firmware for AER",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """*owner* of AER and *dpc* owner of DPC below one host bridge; *reasons* as read, *options* block Linux from owning it."""

    owner: Owner
    dpc: Owner
    reasons: tuple[str, ...]
    options: tuple[str, ...] = ()


def root_of(fabric: Fabric, function: Function) -> Root:
    """Segment and root bus of the host bridge above *function*."""
    top = fabric.path(function)[0].bdf
    return top.segment, top.bus


def services(host: Host) -> dict[str, tuple[str, ...]]:
    """Drivers bound to the port services of each port, by its address: `aer`, `dpc`, `pciehp`, `pcie_bwctrl`, `pcie_pme`.

    The driver's link is asked, never the digits of the service's name: they changed their meaning between kernels.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in host.entries(SERVICES):
        driver = host.link(f"{SERVICES}/{name}/driver")
        if driver:
            port = name.partition(":pcie")[0]
            found[port] = (*found.get(port, ()), driver.rpartition("/")[2])
    return found


def judge(view: View, platform: Platform, bound: Mapping[str, tuple[str, ...]]) -> dict[Root, Verdict]:
    """The verdict for each host bridge of the fabric; *bound* are the *services*."""
    ports: dict[Root, list[Function]] = {}
    for function in view.fabric:
        serving = ports.setdefault(root_of(view.fabric, function), [])
        if function.dev_type in SERVING:
            serving.append(function)
    return {root: _judge(view, platform, root, found, bound) for root, found in ports.items()}


def assumed(view: View, root: Root, verdict: Verdict) -> Verdict:
    """*verdict* as the changes of *view* would make it: an option that still blocks keeps Linux from owning AER."""
    ownership = view.assumed_owner(root)
    options = blocking(view.options() or ()) if verdict.options else ()
    if ownership is None or options:
        return replace(verdict, options=options)
    return Verdict(ownership.owner, ownership.owner, ("assumed",))


def _judge(view: View, platform: Platform, root: Root, ports: list[Function], bound: Mapping[str, tuple[str, ...]]) -> Verdict:
    stated = _stated(view.machine.platform.get("owner"))
    options = blocking(view.options() or ())
    if stated is not None:
        return Verdict(stated, stated, ("stated by the fixture",), options)
    owner, reasons = _owner(view, platform, ports, bound, options)
    dpc: Owner = "native" if _served(view.fabric, root, bound, "dpc") else owner if owner != "native" else "none"
    return Verdict(owner, dpc, reasons, options if owner != "native" else ())


def _stated(text: str | None) -> Owner | None:
    for owner in ("native", "firmware", "none", "guest", "hidden", "unknown"):
        if text == owner:
            return owner
    return None


def blocking(options: Iterable[str]) -> tuple[str, ...]:
    """Those of *options* that keep Linux from owning AER (`pci=` takes a list: `pci=nomsi,noacpi`)."""
    found = []
    for word in options:
        name, _, values = word.partition("=")
        if any(f"{name}={value}" in BLOCKING_OPTIONS for value in values.split(",")):
            found.append(word)
    return tuple(dict.fromkeys(found))


def _owner(
    view: View, platform: Platform, ports: list[Function], bound: Mapping[str, tuple[str, ...]], options: tuple[str, ...]
) -> tuple[Owner, tuple[str, ...]]:
    native = [port for port in ports if "aer" in bound.get(str(port.bdf), ())]
    if native:
        return "native", tuple(f"AER service bound at {port.bdf}" for port in native[:1])
    if not view.host.entries("/sys/bus/pci/devices"):
        return "unknown", (f"who owns AER: {view.host.why(SERVICES)}", *_hints(view, ports))
    if not ports:
        if platform.guest:
            return "hidden", (f"no Root Port on this bus of a {platform.hypervisor} guest",)
        return "unknown", ("no Root Port or Event Collector on this bus",)
    return _not_native(view, ports, options)


def _not_native(view: View, ports: list[Function], options: tuple[str, ...]) -> tuple[Owner, tuple[str, ...]]:
    lacking = ("no AER service at any Root Port", *(f"{o} on the command line" for o in options))
    signs, doubts = _firmware(view, ports)
    if signs:
        return "firmware", (*lacking, *signs)
    if doubts:
        return "unknown", (*lacking, *doubts)
    return "none", (*lacking, "no sign of firmware: no firmware-first HEST or GHES entry, Root Control system errors off")


def _firmware(view: View, ports: list[Function]) -> tuple[list[str], list[str]]:
    # Signs that firmware takes the errors; doubts where a sign cannot be looked for.
    signs, doubts = [], []
    table = view.host.read(hest.PATH)
    if table is not None:
        found = hest.parse(table)
        signs += [f"HEST: {text}" for text in hest.named(found.signs())]
        if found.damage:
            doubts.append(f"HEST: {found.damage}")
    elif view.host.why(hest.PATH) != "absent":  # hidden, refused, not recorded
        doubts.append(f"HEST: {view.host.why(hest.PATH)}")
    eeh = view.host.read(EEH) or b""
    if b"enabled" in eeh:
        signs.append("EEH is enabled: the host bridge stops what fails, and tells firmware and kernel")
    controls = {port.bdf: view.word(port, EXP, "root_control") for port in ports}
    signs += [f"Root Control of {bdf}: system errors on" for bdf, word in controls.items() if word and word & SYSTEM_ERRORS]
    if all(word is None for word in controls.values()):
        doubts.append("Root Control: no Root Port can be read")
    return signs, doubts


def _hints(view: View, ports: list[Function]) -> Iterator[str]:
    # What registers alone suggest; never proof.
    words = [word for port in ports if (word := view.word(port, EXP, "root_control")) is not None]
    if any(word & SYSTEM_ERRORS for word in words):
        yield "Root Control has system errors on, as firmware-first sets it"


def _served(fabric: Fabric, root: Root, bound: Mapping[str, tuple[str, ...]], driver: str) -> bool:
    return any(driver in bound.get(str(f.bdf), ()) for f in fabric if root_of(fabric, f) == root)
