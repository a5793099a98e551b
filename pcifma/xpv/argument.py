"""Argument: one value that a probe hands out, and where in a call it is found.

Offsets are those of Xen's public structures on x86-64 (arm64 has the same widths here), xen/include/public of 4.17; releases that moved a
field say so beside it. `arg` is the call's own argument words, `struct` the structure that the family's pointer leads to, `result` what
the call returned. Text of pointers is hexadecimal; a value whose bytes a recording does not have is None and never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Source = Literal["arg", "struct", "result", "none"]
Kind = Literal["int", "ptr", "domid", "text"]

DOMIDS = {
    0x7FF0: "DOMID_SELF",
    0x7FF1: "DOMID_IO",
    0x7FF2: "DOMID_XEN",
    0x7FF3: "DOMID_COW",
    0x7FF4: "DOMID_INVALID",
    0x7FF5: "DOMID_ANY",
    0x7FFF: "DOMID_IDLE",
}
_EXACT = 2**53 - 1  # the largest integer that a JSON number keeps


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its C type as DTrace lists it, and *size* bytes at *offset* of *source*; *added* is ours, not Sun's."""

    name: str
    ctype: str
    source: Source
    offset: int
    size: int
    kind: Kind = "int"
    added: bool = False

    def value(self, words: bytes, struct: bytes) -> int | None:
        """Return the number (unsigned) from a call's argument bytes or structure bytes; None where they do not reach."""
        held = words if self.source == "arg" else struct
        end = self.offset + self.size
        if self.source in ("none", "result") or end > len(held):
            return None
        return int.from_bytes(held[self.offset : end], "little")


def text(argument: Argument, value: int | str | None) -> str:
    """Return *value* as the operator reads it: domains by number or Xen's name, pointers in hexadecimal, `?` for what is unknown."""
    if value is None:
        return "?"
    if argument.kind == "ptr" and isinstance(value, int):
        return f"{value:#x}"
    if argument.kind == "domid" and isinstance(value, int):
        return DOMIDS.get(value, str(value))
    return str(value)


def plain(argument: Argument, value: int | str | None) -> int | str | None:
    """Return *value* for JSON: pointers as 16 hexadecimal digits, counts as numbers of 53 bits at most."""
    if not isinstance(value, int):
        return value
    return f"{value & 2**64 - 1:016x}" if argument.kind == "ptr" else min(value, _EXACT)


def word(index: int, name: str, ctype: str, kind: Kind = "int", size: int = 8) -> Argument:
    """An argument word of the call itself, arg[*index*]."""
    return Argument(name, ctype, "arg", 8 * index, size, kind)


def at(offset: int, size: int, name: str, ctype: str, kind: Kind = "int") -> Argument:
    """A field of *size* bytes at *offset* of the call's structure."""
    return Argument(name, ctype, "struct", offset, size, kind)


def added(argument: Argument) -> Argument:
    """Return *argument* marked as an addition to what Sun's probe had."""
    return Argument(argument.name, argument.ctype, argument.source, argument.offset, argument.size, argument.kind, added=True)


ERROR = Argument("error", "int", "result", 0, 8)
_DOMCTL_DOMAIN = at(8, 2, "domain", "domid_t", "domid")
_MEM_DOMID = at(0, 2, "domid", "domid_t", "domid")
_RESERVATION = (
    at(24, 2, "domid", "domid_t", "domid"),
    at(8, 8, "nr_extents", "ulong_t"),
    at(16, 4, "extent_order", "uint_t"),
    at(0, 8, "extents", "ulong_t *", "ptr"),
)
_HVM_PARAM = (at(0, 2, "domid", "domid_t", "domid"), at(4, 4, "index", "uint32_t"), at(8, 8, "value", "uint64_t", "ptr"))
_DM_DOM = Argument("domid", "domid_t", "arg", 0, 2, "domid")

_BATCH = (
    Argument("domid", "domid_t", "arg", 4, 2, "domid"),
    Argument("num", "int", "arg", 0, 4),
    Argument("addr", "caddr_t", "arg", 8, 8, "ptr"),
)
_DEVICE = (_DOMCTL_DOMAIN, at(16, 4, "dev", "uint32_t"), at(24, 4, "sbdf", "uint32_t"))

# By (family, operation). What is not here has its family's arguments, and then none.
_LAYOUTS: Mapping[tuple[str, str | None], tuple[Argument, ...]] = {
    ("mmu_update", None): (
        word(3, "domid", "int", "domid", 4),
        word(1, "count", "int", size=4),
        word(0, "requests", "mmu_update_t *", "ptr"),
    ),
    ("mmuext_op", None): (word(1, "count", "int", size=4), word(0, "ops", "struct mmuext_op *", "ptr")),
    ("multicall", None): (word(1, "count", "int", size=4), word(0, "calls", "multicall_entry_t *", "ptr")),
    ("unknown", None): (word(0, "op", "uint64_t"), *(word(i + 1, f"arg{i}", "uint64_t", "ptr") for i in range(5))),
    ("event_channel_op", None): (word(0, "cmd", "int", size=4), word(1, "op", "void *", "ptr")),
    ("domctl", None): (_DOMCTL_DOMAIN,),
    ("domctl", "createdomain"): (
        word(0, "op", "xen_domctl_t *", "ptr"),
        added(at(36, 4, "flags", "uint32_t")),
        added(at(44, 4, "max_vcpus", "uint32_t")),
    ),
    ("domctl", "setvcpucontext"): (
        _DOMCTL_DOMAIN,
        at(24, 8, "ctxt", "vcpu_guest_context_t *", "ptr"),
        added(at(16, 4, "vcpu", "uint32_t")),
    ),
    ("domctl", "max_mem"): (_DOMCTL_DOMAIN, at(16, 8, "max_memkb", "uint64_t")),
    ("domctl", "max_vcpus"): (_DOMCTL_DOMAIN, at(16, 4, "max", "uint32_t")),
    ("domctl", "shadow_op"): (_DOMCTL_DOMAIN, at(16, 4, "op", "uint32_t")),
    ("domctl", "assign_device"): _DEVICE,
    ("domctl", "deassign_device"): _DEVICE,
    ("domctl", "test_assign_device"): _DEVICE,
    ("memory_op", "increase_reservation"): _RESERVATION,
    ("memory_op", "decrease_reservation"): _RESERVATION,
    ("memory_op", "populate_physmap"): (_RESERVATION[0], _RESERVATION[1], _RESERVATION[3], added(_RESERVATION[2])),
    ("memory_op", "claim_pages"): _RESERVATION[:2],
    ("memory_op", "add_to_physmap"): (
        _MEM_DOMID,
        at(4, 4, "space", "uint_t"),
        at(8, 8, "idx", "ulong_t", "ptr"),
        at(16, 8, "gpfn", "ulong_t", "ptr"),
    ),
    ("memory_op", "add_to_physmap_batch"): (_MEM_DOMID, at(2, 2, "space", "uint16_t"), at(4, 2, "size", "uint16_t")),
    ("memory_op", "remove_from_physmap"): (_MEM_DOMID, at(8, 8, "gpfn", "ulong_t", "ptr")),
    ("memory_op", "set_memory_map"): (
        _MEM_DOMID,
        at(8, 4, "nr_entries", "int"),
        at(16, 8, "entries", "struct xen_memory_map *", "ptr"),
    ),
    ("memory_op", "current_reservation"): (_MEM_DOMID,),
    ("memory_op", "maximum_reservation"): (_MEM_DOMID,),
    ("memory_op", "maximum_gpfn"): (_MEM_DOMID,),
    ("memory_op", "get_vnumainfo"): (_MEM_DOMID,),
    ("memory_op", "set_pod_target"): (Argument("target_pages", "uint64_t", "struct", 0, 8),),
    ("memory_op", "machphys_mfn_list"): (at(0, 4, "max_extents", "uint_t"),),
    ("memory_op", "acquire_resource"): (
        _MEM_DOMID,
        at(2, 2, "type", "uint16_t"),
        at(4, 4, "id", "uint32_t"),
        at(8, 4, "nr_frames", "uint32_t"),
    ),
    ("event_channel_op", "alloc_unbound"): (at(0, 2, "dom", "domid_t", "domid"), at(2, 2, "remote_dom", "domid_t", "domid")),
    ("event_channel_op", "status"): (at(0, 2, "dom", "domid_t", "domid"), at(4, 4, "port", "evtchn_port_t")),
    ("event_channel_op", "close"): (at(0, 4, "port", "evtchn_port_t"),),
    ("event_channel_op", "send"): (at(0, 4, "port", "evtchn_port_t"),),
    ("event_channel_op", "unmask"): (at(0, 4, "port", "evtchn_port_t"),),
    ("event_channel_op", "reset"): (at(0, 2, "dom", "domid_t", "domid"),),
    ("hvm_op", "set_param"): _HVM_PARAM,
    ("hvm_op", "get_param"): _HVM_PARAM[:2],
    ("physdev_op", "map_pirq"): (
        _MEM_DOMID,
        at(4, 4, "type", "int"),
        at(8, 4, "index", "int"),
        at(16, 4, "bus", "int"),
        at(20, 4, "devfn", "int"),
    ),
    ("physdev_op", "unmap_pirq"): (_MEM_DOMID, at(4, 4, "pirq", "int")),
    ("sched_op", "remote_shutdown"): (at(0, 2, "domain_id", "domid_t", "domid"), at(4, 4, "reason", "uint_t")),
    ("vcpu_op", None): (word(1, "vcpuid", "int", size=4),),
    ("dm_op", None): (_DM_DOM,),
    # The ioctls of privcmd, include/uapi/xen/privcmd.h of Linux 6.12. `arg` is the ioctl's structure.
    ("ioctl", "mmap"): (
        Argument("domid", "domid_t", "arg", 4, 2, "domid"),
        Argument("num", "int", "arg", 0, 4),
        Argument("entry", "privcmd_mmap_entry_t *", "arg", 8, 8, "ptr"),
    ),
    ("ioctl", "mmap_entry"): (
        at(0, 8, "va", "ulong_t", "ptr"),
        at(8, 8, "mfn", "ulong_t", "ptr"),
        at(16, 8, "npages", "ulong_t"),
    ),
    ("ioctl", "mmapbatch"): _BATCH,
    ("ioctl", "mmapbatch_v2"): _BATCH,
    ("ioctl", "dm_op"): (_DM_DOM, Argument("num", "uint16_t", "arg", 2, 2)),
    ("ioctl", "restrict"): (_DM_DOM,),
    ("ioctl", "mmap_resource"): (
        _DM_DOM,
        Argument("type", "uint32_t", "arg", 4, 4),
        Argument("id", "uint32_t", "arg", 8, 4),
        Argument("idx", "uint32_t", "arg", 12, 4),
        Argument("nr_frames", "uint64_t", "arg", 16, 8),
    ),
    ("ioctl", "irqfd"): (
        Argument("domid", "domid_t", "arg", 20, 2, "domid"),
        Argument("fd", "int", "arg", 12, 4),
        Argument("flags", "uint32_t", "arg", 16, 4),
    ),
    ("ioctl", "ioeventfd"): (
        Argument("domid", "domid_t", "arg", 44, 2, "domid"),
        Argument("addr", "uint64_t", "arg", 16, 8, "ptr"),
        Argument("event_fd", "int", "arg", 28, 4),
        Argument("flags", "uint32_t", "arg", 40, 4),
    ),
    ("ioctl", "pcidev_get_gsi"): (Argument("sbdf", "uint32_t", "arg", 0, 4),),
    ("ioctl", "unknown"): (Argument("cmd", "uint32_t", "arg", 0, 4, "ptr"),),
}
# Where a call says which domain it acts on, if its arguments do not.
_DOMAINS: Mapping[tuple[str, str | None], Argument] = {
    ("domctl", "createdomain"): _DOMCTL_DOMAIN,
    ("memory_op", "set_pod_target"): at(32, 2, "domid", "domid_t", "domid"),
    ("mmuext_op", None): word(3, "domid", "domid_t", "domid", 2),
}


def layout(family: str, operation: str | None) -> tuple[Argument, ...]:
    """Return the arguments of a start probe of *operation* in *family* ("ioctl" for an ioctl of its own)."""
    found = _LAYOUTS.get((family, operation))
    return found if found is not None else _LAYOUTS.get((family, None), ())


def domain(family: str, operation: str | None) -> Argument | None:
    """Return the argument that names the domain *operation* acts on, or None if it acts on none."""
    own = _DOMAINS.get((family, operation)) or _DOMAINS.get((family, None))
    if own is not None:
        return own
    return next((argument for argument in layout(family, operation) if argument.kind == "domid"), None)
