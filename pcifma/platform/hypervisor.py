"""Where we are: which hypervisor, and in which role. A ladder of signs, never one sign alone where signs disagree.

    sign            /sys/hypervisor, /proc/xen, CPU flag, clock sources, DMI, VMBus, root devices
    vote            each sign names a hypervisor (or `none`, or `some` that it does not know)
    verdict         all agree; or two signs and more than any other; else `unknown`, with every sign said

Xen in dom0 is asked first: it shows dom0 the board's own DMI, so there the other signs speak of what lies below Xen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pcifma.access.seam import STATED, Host, Machine
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.smbios import plain

_XENFEAT_DOM0 = 11  # bit of /sys/hypervisor/properties/features
_DMI = "/sys/class/dmi/id/"

# How DMI names virtual machines: (file, how its text begins, hypervisor).
_DMI_SIGNS = (
    ("sys_vendor", "QEMU", "qemu"),
    ("sys_vendor", "Red Hat", "kvm"),
    ("sys_vendor", "VMware", "vmware"),
    ("sys_vendor", "Xen", "xen"),
    ("sys_vendor", "Google", "kvm"),
    ("sys_vendor", "innotek GmbH", "virtualbox"),
    ("sys_vendor", "Parallels", "parallels"),
    ("sys_vendor", "Nutanix", "kvm"),
    ("sys_vendor", "OpenStack Foundation", "kvm"),
    ("sys_vendor", "BHYVE", "bhyve"),
    ("product_name", "Virtual Machine", "hyperv"),
    ("product_name", "KVM", "kvm"),
    ("product_name", "VMware", "vmware"),
    ("product_name", "HVM domU", "xen"),
    ("bios_vendor", "Xen", "xen"),
)
_CLOCKS = {"kvm-clock": "kvm", "xen": "xen", "hyperv_clocksource_tsc_page": "hyperv", "hyperv_clocksource_msr": "hyperv"}
_TREE_SIGNS = (("linux,kvm", "kvm"), ("xen,xen", "xen"), ("qemu,pseries", "qemu"), ("linux,dummy-virt", "qemu"), ("ibm,powernv", "none"))
_QEMU_SUBSYSTEM = 0x1AF4
# Devices that only a hypervisor makes: (vendor, device or None for any of them).
_DEVICE_SIGNS = {
    (0x5853, 0x0001): "xen", (0x5853, 0x0002): "xen", (0x1B36, 0x0008): "qemu", (0x1B36, 0x000C): "qemu",
    (0x15AD, 0x07A0): "vmware", (0x15AD, 0x0405): "vmware", (0x15AD, 0x0740): "vmware", (0x1414, 0x5353): "hyperv",
    (0x80EE, 0xBEEF): "virtualbox", (0x80EE, 0xCAFE): "virtualbox",
}  # fmt: skip
_VIRTIO = 0x1AF4

_NAMES = {"xen": "Xen", "kvm": "KVM", "qemu": "QEMU", "vmware": "VMware", "hyperv": "Hyper-V", "nitro": "Nitro"}

INVISIBLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("none", "host"): (
        "errors from before boot, which the kernel clears",
        "details of fatal errors in endpoints, which the kernel never reads",
    ),
    ("kvm", "host"): ("errors that a guest clears or masks on its own Functions",),
    ("xen", "dom0"): (
        "Unsupported Request where Xen masks it (Intel root complexes of 2009 to 2013)",
        "IOMMU faults, but for `xl dmesg`",
    ),
    ("xen", "domU"): ("Root Port and switches", "link partner", "DPC", "slots", "machine checks"),
    ("*", "guest"): ("the host's Root Port", "link partner", "DPC", "slots", "machine checks"),
}
_CONTAINER = ("firmware tables and interrupt counts, where the container masks them",)


class Sign(NamedTuple):
    """One fact that speaks for *value* (a hypervisor, a role, `none`, or `some`), and its words."""

    value: str
    text: str


class Platform(NamedTuple):
    """*hypervisor* is `none`, `xen`, `kvm`, `qemu`, `vmware`, `hyperv`, … or `unknown`; *role* `host`, `dom0`, `domU`, `guest` or
    `unknown`. *emulated*: QEMU makes the devices (below Xen too). *invisible* is telemetry that never gets here.
    """

    hypervisor: str
    role: str
    signs: tuple[str, ...] = ()
    emulated: bool = False
    container: bool = False
    flavour: str = ""
    invisible: tuple[str, ...] = ()

    @property
    def guest(self) -> bool:
        """True where somebody else's hypervisor hides the real root complex."""
        return self.role in ("guest", "domU")

    @property
    def text(self) -> str:
        """For people: `Xen dom0 (PV)`, `KVM host`, `bare metal`, `QEMU guest, container`."""
        name = _NAMES.get(self.hypervisor, self.hypervisor)
        words = "bare metal" if (self.hypervisor, self.role) == ("none", "host") else f"{name} {self.role}"
        if "unknown" in (self.hypervisor, self.role):
            words = "platform unknown"
        return words + (f" ({self.flavour})" if self.flavour else "") + (", container" if self.container else "")


def detect(machine: Machine, fabric: Fabric) -> Platform:
    """Judge *machine* by its signs; a fixture's `platform:` comes before them. A capture is judged by its devices alone."""
    return judge(machine.host, fabric, machine.platform)


def in_guest(fabric: Fabric, host: Host) -> bool:
    """True where somebody else's hypervisor hides the real root complex, by all the signs there are."""
    stated = {key: _text(host, f"{STATED}/{key}") for key in ("hypervisor", "role")}
    return judge(host, fabric, {key: text for key, text in stated.items() if text}).guest


def judge(host: Host, fabric: Fabric, stated: Mapping[str, str]) -> Platform:
    """The platform by its signs; what is *stated* (hypervisor, role) comes before them."""
    votes = [*_hypervisor_signs(host), *_device_signs(fabric)]
    xen = [s for s in votes if s.value == "xen"]
    roles = list(_xen_roles(host, fabric)) if xen else []
    hypervisor, role = _verdict(votes, roles, host)
    hypervisor = stated.get("hypervisor", hypervisor)
    role = stated.get("role", role)
    container = _in_container(host)
    return Platform(
        hypervisor=hypervisor,
        role=role,
        signs=tuple(s.text for s in (*votes, *roles)),
        emulated=any(s.value == "qemu" for s in votes),
        container=container,
        flavour=_text(host, "/sys/hypervisor/guest_type") if hypervisor == "xen" else "",
        invisible=INVISIBLE.get((hypervisor, role), INVISIBLE.get(("*", role), ())) + (_CONTAINER if container else ()),
    )


def _verdict(votes: list[Sign], roles: list[Sign], host: Host) -> tuple[str, str]:
    role, _ = _elect(Counter(s.value for s in roles))
    if role == "dom0":
        return "xen", "dom0"
    counts = Counter(s.value for s in votes)
    if not counts:
        return "unknown", "unknown"
    # "There is one" is no rival of "it is KVM"; and KVM is what runs a machine whose devices QEMU makes.
    some = counts.pop("some", 0)
    if "kvm" in counts:
        counts["kvm"] += counts.pop("qemu", 0)
    none = counts.pop("none", 0)
    if not counts:
        if some and none:
            return "unknown", "unknown"
        return ("unknown", "guest") if some else (_bare(host), "host")
    winner, sure = _elect(counts, none)
    if not sure:
        return "unknown", "unknown"
    return winner, (role or "domU") if winner == "xen" else "guest"


def _elect(counts: Counter[str], against: int = 0) -> tuple[str, bool]:
    # Agreement, or at least two voices and more than any other.
    if not counts:
        return "", False
    (winner, voices), *others = counts.most_common()
    rivals = max([n for _, n in others] + [against])
    sure = rivals == 0 or (voices >= 2 and voices > rivals)
    return (winner if sure else "unknown"), sure


def _bare(host: Host) -> str:
    return "kvm" if host.entries("/sys/class/misc/kvm") else "none"


def _hypervisor_signs(host: Host) -> Iterator[Sign]:
    kind = _text(host, "/sys/hypervisor/type")
    if kind:
        yield Sign(kind, f"/sys/hypervisor/type is {kind}")
    yield from _cpu_signs(host)
    clocks = _text(host, "/sys/devices/system/clocksource/clocksource0/available_clocksource").split()
    for clock in clocks:
        if clock in _CLOCKS:
            yield Sign(_CLOCKS[clock], f"clock source {clock}")
    yield from _dmi_signs(host)
    if host.entries("/sys/bus/vmbus/devices"):
        yield Sign("hyperv", "VMBus devices")


def _cpu_signs(host: Host) -> Iterator[Sign]:
    flags = _flags(host)
    if flags is not None:
        found = "hypervisor" in flags
        yield Sign("some" if found else "none", f"CPUID: {'a' if found else 'no'} hypervisor")
    board = _text(host, "/proc/device-tree/compatible")
    node = _text(host, "/proc/device-tree/hypervisor/compatible")
    found_there = [(name, value) for name, value in _TREE_SIGNS if name in node or name in board]
    for name, value in found_there:
        yield Sign(value, f"device tree: {name}")
    if board and not node and not found_there:
        yield Sign("none", "device tree: no hypervisor")


def _flags(host: Host) -> list[str] | None:
    lines = (host.read("/proc/cpuinfo") or b"").decode(errors="replace").splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), None)


def _dmi_signs(host: Host) -> Iterator[Sign]:
    seen = set()
    for name, begin, value in _DMI_SIGNS:
        text = _text(host, _DMI + name)
        if text.startswith(begin) and value not in seen:
            seen.add(value)
            yield Sign(value, f"DMI {name}: {plain(text)}")
    vendor = _text(host, _DMI + "sys_vendor")
    if vendor == "Amazon EC2" and "metal" not in _text(host, _DMI + "product_name"):
        yield Sign("nitro", f"DMI sys_vendor: {vendor}")
    elif vendor and not seen and _flags(host) is None:
        # Clouds put their own names there: it speaks for bare metal only where no CPU flag could speak against it.
        yield Sign("none", f"DMI sys_vendor: {plain(vendor)}")


def _device_signs(fabric: Fabric) -> Iterator[Sign]:
    seen = set()
    for function in fabric:
        value = _DEVICE_SIGNS.get((function.vendor, function.device))
        if function.subsystem_vendor == _QEMU_SUBSYSTEM and function.subsystem_device == 0x1100:
            value = "qemu"
        if value is None and function.vendor == _VIRTIO:
            value = "some"
        if value is not None and value not in seen:
            seen.add(value)
            yield Sign(value, f"device {function.bdf} is {function.vendor:04x}:{function.device:04x}")


def _xen_roles(host: Host, fabric: Fabric) -> Iterator[Sign]:
    capabilities = host.read("/proc/xen/capabilities")
    if capabilities is not None:
        control = b"control_d" in capabilities
        yield Sign("dom0" if control else "domU", f"/proc/xen/capabilities {'has' if control else 'lacks'} control_d")
    features = _text(host, "/sys/hypervisor/properties/features")
    if features:
        dom0 = _bit(features, _XENFEAT_DOM0)
        yield Sign("dom0" if dom0 else "domU", f"Xen features: {'' if dom0 else 'not '}the initial domain")
    initial = _text(host, "/sys/hypervisor/start_flags/initdomain")
    if initial:
        yield Sign("dom0" if initial == "1" else "domU", f"start flag initdomain is {plain(initial)}")
    uuid = _text(host, "/sys/hypervisor/uuid")
    if uuid and not uuid.startswith("<"):
        zero = not uuid.strip("0-")
        yield Sign("dom0" if zero else "domU", f"domain uuid is {'zero' if zero else 'set'}")
    if _text(host, "/sys/hypervisor/guest_type") == "HVM":
        yield Sign("domU", "guest type HVM")
    if any((f.vendor, f.device) == (0x5853, 0x0001) for f in fabric):
        yield Sign("domU", "the Xen platform device is there")


def _bit(text: str, bit: int) -> bool:
    try:
        return bool(int(text, 16) >> bit & 1)
    except ValueError:
        return False


def _in_container(host: Host) -> bool:
    environment = host.read("/proc/1/environ") or b""
    if b"\0container=" in b"\0" + environment or any(host.read(p) is not None for p in ("/run/systemd/container", "/run/.containerenv")):
        return True
    # Images leave /.dockerenv behind in virtual machines too; a bind mount of /etc/hosts is made by container runtimes alone.
    mounts = [line.split() for line in (host.read("/proc/1/mountinfo") or b"").decode(errors="replace").splitlines()]
    return any(len(words) > 4 and words[4] in ("/etc/hosts", "/etc/resolv.conf") for words in mounts)


def _text(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode(errors="replace").strip("\0\n ")
