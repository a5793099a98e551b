"""Sequence: what the control tools do to a domain, as data: which operations, in which order, how many of each.

Measured with the tools of Xen 4.17 (xl, libxl, libxc) on two kernels, and compared with the sources of 4.10 to 4.22. The tools drift
between releases, so a sequence is an ordered subsequence with bounds, never an exact list: reads (look-ups, policies, topology) are not
in it at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pcifma.xpv.probe import Site

MANY = 1 << 30


@dataclass(frozen=True, slots=True)
class Step:
    """One of *sites* happens *least* to *most* times, first after the step before.

    *first* restricts to a first word of the structure's body (u32).
    """

    name: str
    sites: tuple[Site, ...]
    least: int = 1
    most: int = MANY
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A control-plane operation: begun by *anchor*, made of *steps*; *never* must not happen to its domain; *also* may, any number of
    times.
    """

    name: str
    title: str
    anchor: str
    steps: tuple[Step, ...]
    never: tuple[Site, ...] = ()
    also: tuple[Site, ...] = ()


def _d(*operations: str) -> tuple[Site, ...]:
    return tuple(("domctl", operation) for operation in operations)


def _m(*operations: str) -> tuple[Site, ...]:
    return tuple(("memory_op", operation) for operation in operations)


MMAPBATCH: tuple[Site, ...] = (("ioctl", "mmapbatch_v2"), ("ioctl", "mmapbatch"))
ALLOC_UNBOUND: Site = ("event_channel_op", "alloc_unbound")
SET_PARAM: Site = ("hvm_op", "set_param")
PINS: tuple[Site, ...] = tuple(("mmuext_op", f"pin_l{level}_table") for level in (1, 2, 3, 4))
_CREATED = (
    Step("dom-create", _d("createdomain"), 1, 1),
    Step("max-vcpus", _d("max_vcpus"), 1, 1),
    Step("max-mem", _d("max_mem")),
    # One channel for xenstore, one for the console.
    Step("alloc-unbound", (ALLOC_UNBOUND,), 2, 2),
)
_POPULATE = Step("populate-physmap", _m("populate_physmap"))
_MAP = Step("mmapbatch", MMAPBATCH)
_UNPAUSE = Step("dom-unpause", _d("unpausedomain"), 0, 1)
_BUILD = (
    *_d("settscinfo", "set_address_size", "set_paging_mempool_size", "shadow_op"),
    *_m("claim_pages", "add_to_physmap", "decrease_reservation"),
)
_GUEST_STATE = _d("getvcpucontext", "gethvmcontext")
_PERMISSION = _d("iomem_permission", "ioport_permission")
_IRQ = _d("irq_permission", "gsi_permission")
_MAP_PIRQ: Site = ("physdev_op", "map_pirq")
_UNMAP_PIRQ: Site = ("physdev_op", "unmap_pirq")
_GONE = (
    Step("dom-pause", _d("pausedomain"), 0, 1),
    Step("dom-destroy", _d("destroydomain"), 0),
)

SEQUENCES: Mapping[str, Sequence] = {
    sequence.name: sequence
    for sequence in (
        Sequence(
            "create-pv",
            "create of a PV domain",
            "dom-create",
            (
                *_CREATED,
                Step("set-memory-map", _m("set_memory_map"), 1, 1),
                _POPULATE,
                _MAP,
                Step("mmu-ext-op (pin)", PINS),
                Step("setvcpucontext", _d("setvcpucontext")),
                _UNPAUSE,
            ),
            never=(*_d("sethvmcontext"), SET_PARAM),
            also=_BUILD,
        ),
        Sequence(
            "create-pvh",
            "create of a PVH domain",
            "dom-create",
            (
                *_CREATED,
                Step("set-param", (SET_PARAM,)),
                _POPULATE,
                Step("set-memory-map", _m("set_memory_map"), 1, 1),
                _MAP,
                Step("sethvmcontext", _d("sethvmcontext")),
                _UNPAUSE,
            ),
            never=(*_d("setvcpucontext"), *PINS),
            also=_BUILD,
        ),
        Sequence(
            "create-hvm",
            "create of an HVM domain",
            "dom-create",
            (
                *_CREATED,
                Step("set-param", (SET_PARAM,)),
                _POPULATE,
                Step("set-memory-map", _m("set_memory_map"), 1, 1),
                _MAP,
                Step("sethvmcontext", _d("sethvmcontext")),
                Step("device model (dm-op)", (("dm_op", None),)),
                _UNPAUSE,
            ),
            never=(*_d("setvcpucontext"), *PINS),
            also=_BUILD,
        ),
        Sequence(
            "restore",
            "restore of a domain (also the receiving end of a migration)",
            "dom-create",
            (
                *_CREATED,
                _POPULATE,
                _MAP,
                Step("setvcpucontext or sethvmcontext", _d("setvcpucontext", "sethvmcontext")),
                _UNPAUSE,
            ),
            also=(*_BUILD, *_m("set_memory_map")),
        ),
        Sequence(
            "migrate",
            "migration of a domain, sending end",
            "shadow-op ENABLE_LOGDIRTY",
            (
                Step("shadow-op ENABLE_LOGDIRTY", _d("shadow_op"), first=2),
                Step("getpageframeinfo3", _d("getpageframeinfo3")),
                _MAP,
                Step("shadow-op CLEAN", _d("shadow_op"), first=11),
                Step("guest state (getvcpucontext or gethvmcontext)", _GUEST_STATE),
                Step("shadow-op OFF", _d("shadow_op"), first=0),
                Step("dom-pause", _d("pausedomain"), 1, 1),
                Step("dom-destroy", _d("destroydomain")),
            ),
            also=_d("shadow_op"),
        ),
        Sequence(
            "save",
            "save of a domain",
            "getpageframeinfo3",
            (
                _MAP,
                Step("getpageframeinfo3", _d("getpageframeinfo3")),
                Step("guest state (getvcpucontext or gethvmcontext)", _GUEST_STATE),
                *_GONE,
            ),
            also=_d("shadow_op", "resumedomain"),
        ),
        Sequence(
            "pci-attach",
            "attaching a PCI Function to a domain",
            "assign-device",
            (
                Step("iomem-permission or ioport-permission", _PERMISSION),
                Step("map-pirq", (_MAP_PIRQ,), 0),
                Step("irq-permission", _IRQ, 0),
                Step("assign-device", _d("assign_device"), 1, 1),
            ),
            also=_d("test_assign_device", "bind_pt_irq"),
        ),
        Sequence(
            "pci-detach",
            "detaching a PCI Function from a domain",
            "deassign-device",
            (
                Step("iomem-permission or ioport-permission", _PERMISSION),
                Step("unmap-pirq", (_UNMAP_PIRQ,), 0),
                Step("irq-permission", _IRQ, 0),
                Step("deassign-device", _d("deassign_device"), 1, 1),
            ),
            also=_d("unbind_pt_irq"),
        ),
        Sequence(
            "destroy",
            "destroy of a domain",
            "dom-destroy",
            (Step("dom-pause", _d("pausedomain"), 1, 1), Step("dom-destroy", _d("destroydomain"))),
        ),
        Sequence("pause", "pause of a domain", "dom-pause", (Step("dom-pause", _d("pausedomain"), 1, 1),)),
        Sequence("unpause", "unpause of a domain", "dom-unpause", (Step("dom-unpause", _d("unpausedomain"), 1, 1),)),
    )
}
CREATES = ("create-pv", "create-pvh", "create-hvm", "restore")

# What changes a domain's life, memory or devices: where no sequence expects it, it is extra.
CONTROL = frozenset(
    (
        *_d(
            "createdomain", "destroydomain", "pausedomain", "unpausedomain", "resumedomain", "soft_reset", "setvcpucontext", "sethvmcontext"
        ),
        *_d("max_vcpus", "shadow_op", "assign_device", "deassign_device"),
        *_m("populate_physmap", "increase_reservation", "decrease_reservation", "set_memory_map", "claim_pages"),
        ALLOC_UNBOUND,
        _MAP_PIRQ,
        _UNMAP_PIRQ,
    )
)
# Errors that belong to an ordinary course of things, by call and first word of its body (None: any). PV domains have no log-dirty mode to
# switch off on a Xen without shadow paging; a destroy is continued until it is done.
HARMLESS: Mapping[tuple[Site, int | None], tuple[str, ...]] = {
    (("domctl", "shadow_op"), 0): ("EINVAL", "EOPNOTSUPP"),
    (("domctl", "destroydomain"), None): ("EAGAIN", "ERESTART"),
}
