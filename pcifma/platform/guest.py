"""Whose Function it is: the guest that a passed-through Function was given to, as far as the host can tell.

    vfio-pci   the process that holds the IOMMU group open, and the name on its command line (libvirt, Proxmox, plain QEMU)
    pciback    xenstore: backend/pci/<domain>/<n>/dev-<n> has the address, /local/domain/<domain>/name the name

Names come from guests' configurations: hostile text, made harmless here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Protocol

from pcifma.access.seam import Host
from pcifma.fabric.power import DEVICES
from pcifma.fabric.smbios import plain
from pcifma.platform.owner import GUEST_DRIVERS
from pcifma.regs.bdf import Bdf

XENSTORE = "/xenstore"  # Host facts below it are xenstore's paths
_VFIO = "/dev/vfio/"


class Given(Protocol):
    """What has to be known of a Function here."""

    @property
    def bdf(self) -> Bdf: ...
    @property
    def driver(self) -> str | None: ...


def given_away(function: Given) -> bool:
    """True if a driver holds *function* for a guest."""
    return function.driver in GUEST_DRIVERS


def guests(host: Host, fabric: Iterable[Given]) -> dict[str, str]:
    """The guest's name for each Function (by address) that is given away; a Function whose guest cannot be told is left out."""
    away = [f for f in fabric if given_away(f)]
    if not away:
        return {}
    vfio = [f for f in away if f.driver == "vfio-pci"]
    found = _vfio_guests(host, vfio) if vfio else {}
    return found | (_xen_guests(host) if len(vfio) < len(away) else {})


def _vfio_guests(host: Host, functions: list[Given]) -> dict[str, str]:
    wanted: dict[str, list[str]] = {}
    for function in functions:
        for node in _nodes(host, function):
            wanted.setdefault(node, []).append(str(function.bdf))
    found: dict[str, str] = {}
    for pid in host.entries("/proc"):
        if not pid.isdigit():
            continue
        for node in _held(host, pid) & wanted.keys():
            found |= dict.fromkeys(wanted[node], _process(host, pid))
    return found


def _nodes(host: Host, function: Given) -> Iterator[str]:
    # The group's node, and since Linux 6.6 the device's own.
    group = host.link(f"{DEVICES}/{function.bdf}/iommu_group")
    if group:
        yield f"{_VFIO}{group.rpartition('/')[2]}"
    for name in host.entries(f"{DEVICES}/{function.bdf}/vfio-dev"):
        yield f"{_VFIO}devices/{name}"


def _held(host: Host, pid: str) -> set[str]:
    links = (host.link(f"/proc/{pid}/fd/{fd}") for fd in host.entries(f"/proc/{pid}/fd"))
    return {link for link in links if link and link.startswith(_VFIO)}


def _process(host: Host, pid: str) -> str:
    words = (host.read(f"/proc/{pid}/cmdline") or b"").decode(errors="replace").rstrip("\0").split("\0")
    name, number = _after(words, "-name"), _after(words, "-id")
    name = _named(name)
    if name and number.isdigit():  # Proxmox: the VM's number beside its name
        return plain(f"{name} (VM {number})")
    comm = (host.read(f"/proc/{pid}/comm") or b"").decode(errors="replace").strip()
    return plain(name or f"{comm or 'process'} (pid {pid})")


def _after(words: list[str], option: str) -> str:
    return next((words[i + 1] for i, word in enumerate(words[:-1]) if word == option), "")


def _named(text: str) -> str:
    # `guest=web-12,debug-threads=on` (libvirt), `web-12,debug-threads=on` (Proxmox, by hand), or JSON.
    if text.startswith("{"):
        try:
            return str(json.loads(text).get("guest", ""))
        except (ValueError, AttributeError):
            return ""
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    return parts.get("guest") or text.partition(",")[0]


def _xen_guests(host: Host) -> dict[str, str]:
    base = f"{XENSTORE}/local/domain/0/backend/pci"
    found = {}
    for domain in host.entries(base):
        for device in host.entries(f"{base}/{domain}"):
            for key in host.entries(f"{base}/{domain}/{device}"):
                if key.startswith("dev-"):
                    address = _fact(host, f"{base}/{domain}/{device}/{key}")
                    found[address] = _domain(host, domain)
    return found


def _domain(host: Host, domain: str) -> str:
    name = plain(_fact(host, f"{XENSTORE}/local/domain/{domain}/name"))
    return f"{name} (dom {domain})" if name else f"dom {domain}"


def _fact(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode(errors="replace").strip("\0\n ")
