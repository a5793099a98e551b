"""Probe: a named point where a control tool enters or leaves a hypercall, as DTrace's xpv provider named them.

The 35 original probes come from illumos (usr/src/uts/i86xpv/io/privcmd.c and privcmd_hcall.c, usr/src/uts/common/xen/io/xenbus_xs.c), and
keep their functions, names and argument types. Every other operation of the tables has an extension: a start and an end probe, named as
Sun would have. Where an operation has both, a call fires the original, and the extension only if the original is not enabled: one start
and one end a call, always.
"""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pcifma.errors import UsageError
from pcifma.xpv.argument import ERROR, Argument, layout
from pcifma.xpv.operation import Family
from pcifma.xpv.table import FAMILIES, HYPERCALLS, IOCTLS

PROVIDER = "xpv"
# xpv_attr in usr/src/uts/common/dtrace/sdt_subr.c: name stability, data stability, dependency class.
STABILITY = (
    ("provider", "Evolving", "Evolving", "Platform"),
    ("module", "Private", "Private", "Unknown"),
    ("function", "Private", "Private", "Unknown"),
    ("name", "Private", "Private", "Platform"),
    ("arguments", "Private", "Private", "Platform"),
)
# What a call is, to the tables: its family ("ioctl" for an ioctl that is no hypercall), and its operation where one is known.
Site = tuple[str, str | None]

_WATCH = (
    Argument("node", "const char *", "none", 0, 8, "ptr"),
    Argument("callback", "uintptr_t", "none", 8, 8, "ptr"),
    Argument("watch", "struct xenbus_watch *", "none", 16, 8, "ptr"),
)
_PATH = Argument("path", "const char *", "none", 24, 8, "ptr")
_NO_SITE = "never fires on Linux: xenstore watches of its kernel are no privcmd calls"
_NO_SEG = "Linux has no struct seg: always unknown"
_NO_CALLER = "fires for foreign programs only: no Xen tool on Linux uses this ioctl"
_EVTCHN = (
    "bind_interdomain",
    "bind_virq",
    "bind_pirq",
    "close",
    "send",
    "status",
    "alloc_unbound",
    "bind_ipi",
    "bind_vcpu",
    "unmask",
    "reset",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe. *origin* is "original" or "extension"; *note* says what an operator must know of it, if anything."""

    id: int
    module: str
    function: str
    name: str
    arguments: tuple[Argument, ...]
    origin: str
    note: str = ""

    @property
    def description(self) -> str:
        """The probe's full name, provider:module:function:name."""
        return f"{PROVIDER}:{self.module}:{self.function}:{self.name}"


_MMUEXT: tuple[Site, ...] = (
    ("mmuext_op", None),
    *(("mmuext_op", row.name) for family in FAMILIES if family.name == "mmuext_op" for row in family.rows),
)

# The pairs of the original, in the order of its sources: function, name, and the calls that fire them.
_HCALL = "privcmd_HYPERVISOR_"
_PAIRS: tuple[tuple[str, str, tuple[Site, ...]], ...] = (
    ("mmu_update", "mmu-update", (("mmu_update", None),)),
    ("domctl", "dom-create", (("domctl", "createdomain"),)),
    ("domctl", "dom-destroy", (("domctl", "destroydomain"),)),
    ("domctl", "dom-pause", (("domctl", "pausedomain"),)),
    ("domctl", "dom-unpause", (("domctl", "unpausedomain"),)),
    ("domctl", "setvcpucontext", (("domctl", "setvcpucontext"),)),
    ("memory_op", "increase-reservation", (("memory_op", "increase_reservation"),)),
    ("memory_op", "decrease-reservation", (("memory_op", "decrease_reservation"),)),
    ("memory_op", "populate-physmap", (("memory_op", "populate_physmap"),)),
    ("memory_op", "add-to-physmap", (("memory_op", "add_to_physmap"),)),
    ("memory_op", "set-memory-map", (("memory_op", "set_memory_map"),)),
    ("event_channel_op", "evtchn-op", tuple(("event_channel_op", name) for name in _EVTCHN)),
    ("mmuext_op", "mmu-ext-op", _MMUEXT),
)


@dataclass(frozen=True, slots=True)
class Provider:
    """All probes, and for each site those that a call there may fire, the original first."""

    probes: tuple[Probe, ...]
    starts: dict[Site, tuple[Probe, ...]]
    ends: dict[Site, tuple[Probe, ...]]


class _Builder:
    # Collects probes in listing order; a function and name that exist already are the same probe.
    def __init__(self) -> None:
        self.probes: list[Probe] = []
        self.by_name: dict[tuple[str, str], Probe] = {}
        self.starts: dict[Site, tuple[Probe, ...]] = {}
        self.ends: dict[Site, tuple[Probe, ...]] = {}

    def probe(
        self, function: str, name: str, arguments: tuple[Argument, ...], origin: str, *, note: str = "", module: str = "privcmd"
    ) -> Probe:
        known = self.by_name.get((function, name))
        if known is None:
            known = Probe(len(self.probes) + 1, module, function, name, arguments, origin, note)
            self.probes.append(known)
            self.by_name[function, name] = known
        return known

    def pair(self, function: str, base: str, sites: Iterable[Site], origin: str, *, note: str = "") -> None:
        sites = tuple(sites)
        # An original with many operations hands out what all of them have.
        shape = sites[0] if len(sites) == 1 else (sites[0][0], None)
        start = self.probe(function, f"{base}-start", layout(*shape), origin, note=note)
        end = self.probe(function, f"{base}-end", (ERROR,), origin, note=note)
        for site in sites:
            self.starts[site] = (*(p for p in self.starts.get(site, ()) if p is not start), start)
            self.ends[site] = (*(p for p in self.ends.get(site, ()) if p is not end), end)

    def mmaps(self) -> None:
        batch: tuple[Site, ...] = (("ioctl", "mmapbatch"), ("ioctl", "mmapbatch_v2"))
        self.probe("do_privcmd_mmap", "mmap-start", layout("ioctl", "mmap"), "original", note=_NO_CALLER)
        entry = self.probe("do_privcmd_mmap", "mmap-entry", layout("ioctl", "mmap_entry"), "original", note=_NO_CALLER)
        self.pair("do_privcmd_mmap", "mmap", (("ioctl", "mmap"),), "original", note=_NO_CALLER)
        self.starts["ioctl", "mmap_entry"] = (entry,)
        function, name = "do_privcmd_mmapbatch", "mmapbatch"
        start = self.probe(function, f"{name}-start", layout("ioctl", "mmapbatch"), "original")
        seg = Argument("seg", "struct seg *", "none", 0, 8, "ptr")
        end = self.probe(function, f"{name}-end", (ERROR, seg, layout("ioctl", "mmapbatch")[2]), "original", note=_NO_SEG)
        for site in batch:
            self.starts[site], self.ends[site] = (start,), (end,)

    def watches(self) -> None:
        for function, name, arguments in (
            ("register_xenbus_watch", "xenbus-register-watch", _WATCH),
            ("unregister_xenbus_watch", "xenbus-unregister-watch", _WATCH),
            ("process_msg", "xenbus-enqueue-watch", (*_WATCH, _PATH)),
            ("xenwatch_thread", "xenbus-fire-watch", (*_WATCH, _PATH)),
        ):
            self.probe(function, name, arguments, "original", note=_NO_SITE, module="unix")

    def family(self, family: Family) -> None:
        function, known = _HCALL + family.name, family.name
        for row in family.rows:
            self.extension(function, known, row.name)
        for nested in family.nested:
            for row in nested.rows:
                self.extension(function, known, nested.full_name(row))

    def extension(self, function: str, family: str, operation: str) -> None:
        site: Site = (family, operation)
        fires = self.starts.get(site)
        note = f"fires only where {fires[0].name} is not enabled" if fires else ""
        self.pair(function, operation.replace("_", "-"), (site,), "extension", note=note)


@cache
def provider() -> Provider:
    """Return every probe, built once."""
    build = _Builder()
    for family, base, sites in _PAIRS:
        build.pair(_HCALL + family, base, sites, "original")
    build.mmaps()
    build.watches()
    for table in FAMILIES:
        build.family(table)
    for name in dict.fromkeys(row.name for row in HYPERCALLS):
        build.pair(_HCALL + name, name.replace("_", "-"), ((name, None),), "extension")
    for ioctl in IOCTLS:
        build.pair(f"do_privcmd_{ioctl.function}", ioctl.name.replace("_", "-"), (("ioctl", ioctl.name),), "extension")
    build.pair("do_privcmd_hypercall", "unknown-hypercall", (("unknown", None),), "extension", note="a hypercall number that no table has")
    build.pair("do_privcmd_unknown", "unknown-ioctl", (("ioctl", "unknown"),), "extension", note="an ioctl of type P that no table has")
    return Provider(tuple(build.probes), build.starts, build.ends)


_SAFE = re.compile(r"[\w:*?\[\]!^-]*\Z")


def _fits(patterns: Iterable[str], probe: Probe) -> bool:
    names = (PROVIDER, probe.module, probe.function, probe.name)
    return all(not field or fnmatch.fnmatchcase(name, field) for field, name in zip(patterns, names, strict=True))


def matching(pattern: str) -> tuple[Probe, ...]:
    """Return the probes that *pattern* enables, read as dtrace -n does: fields from the right, `*`, `?` and `[]` in each, an empty one
    fits all.

    No function of this provider has a probe's name, so a pattern whose last field was left empty by mistake (`xpv::dom-*:`) is taken to
    mean the name. Raises UsageError for a pattern that cannot be one, or that fits no probe, as dtrace does.
    """
    if pattern.count(":") > 3 or not _SAFE.match(pattern):
        raise UsageError(f"{pattern!r} is no probe description: write provider:module:function:name, any field empty or with *, ? or []")
    fields = pattern.replace("[^", "[!").split(":")
    fields = [""] * (4 - len(fields)) + fields
    found = tuple(probe for probe in provider().probes if _fits(fields, probe))
    if not found and not fields[3]:
        found = tuple(probe for probe in provider().probes if _fits((*fields[:2], "", fields[2]), probe))
    if not found:
        raise UsageError(f"{pattern!r} matches no probe: `pcifma trace list` has them all")
    return found


def select(patterns: Iterable[str]) -> frozenset[int]:
    """Return the ids of the probes that any of *patterns* enables; none given means all. Raises UsageError as `matching` does."""
    return frozenset(probe.id for pattern in (tuple(patterns) or (f"{PROVIDER}:::",)) for probe in matching(pattern))


def first_enabled(probes: tuple[Probe, ...], enabled: frozenset[int]) -> Probe | None:
    """Return the probe that a call fires where *probes* sit on it: the first that is *enabled*."""
    return next((probe for probe in probes if probe.id in enabled), None)
