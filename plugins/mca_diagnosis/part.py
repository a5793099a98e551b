"""The part that an error names, by the kind of part that a rule counts: what it is called, and its FMRIs."""

from __future__ import annotations

from dataclasses import dataclass

from pcifma.plugin import Ereport

from .rule import Per

_PAGE_SHIFT = 12
_HOST = "host"


@dataclass(frozen=True, slots=True)
class Part:
    """*key* is unique on this host; *device* as contract 1 has it, *asru*, *fru*, *resource* FMRIs, *location* for people."""

    key: str
    device: str
    asru: str
    fru: str
    resource: str
    location: str = ""


def part(event: Ereport, per: Per) -> Part | None:
    """The part of kind *per* that *event* names; None where it names none."""
    if per in ("page", "module", "channel"):
        return _memory(event, per)
    return _processor(event, per)


def _memory(event: Ereport, per: Per) -> Part | None:
    where = _controller(event)
    if per == "page":
        frame = _frame(event)
        if frame is None:
            return None
        name = f"mem:///motherboard=0/frame={frame:#x}"
        return Part(f"page:{frame:#x}", _HOST, name, name, name, f"page at {frame << _PAGE_SHIFT:#x}")
    if per == "module":
        module = _number(event, "dimm")
        if module is None:
            return None
        where = f"{where}/dimm={module}"
    elif _number(event, "dimm") is not None or ("dram-channel" not in where and "memory-controller=" not in where):
        return None  # the module is known and is counted, or nothing is
    name = f"hc:///motherboard=0/{where}"
    return Part(f"{per}:{where}", _HOST, name, name, name, where.replace("=", " ").replace("/", ", "))


def _controller(event: Ereport) -> str:
    # The socket, then what the record says: a channel, or the scalable bank's memory controller.
    found = [f"chip={_number(event, 'chip') or 0}"]
    instance, channel = _number(event, "instance"), _number(event, "channel")
    if event.payload.get("unit-key") == "umc" and instance is not None:
        found.append(f"memory-controller={instance:#x}")
    if channel is not None:
        found.append(f"dram-channel={channel}")
    return "/".join(found)


def _frame(event: Ereport) -> int | None:
    payload = event.payload
    address, lsb = payload.get("address"), payload.get("address-lsb")
    if not isinstance(address, str) or not isinstance(lsb, int) or lsb > _PAGE_SHIFT:
        return None
    if payload.get("state") == "unstable" or (payload.get("via") == "msr" and payload.get("overflow")):
        return None  # a bank that was overwritten may hold one error's status and another's address
    return int(address, 16) >> _PAGE_SHIFT


def _processor(event: Ereport, per: Per) -> Part | None:
    if not event.device.startswith("cpu"):
        return None
    if event.payload.get("via") == "virtual" or event.payload.get("identity") == "unchecked":
        return None  # a processor of dom0's, or one that nobody can name for sure: no physical one is convicted
    number, chip, core = event.device.removeprefix("cpu"), _number(event, "chip") or 0, _number(event, "core")
    fru = f"hc:///motherboard=0/chip={chip}"
    if per == "interconnect":
        return Part(f"interconnect:{chip}", f"chip{chip}", fru, fru, fru, f"socket {chip}")
    leaf = event.class_.rpartition(".")[2].removesuffix("_uc")
    kind = f":{leaf}" if per == "cache" else ""
    resource = f"{fru}/core={core}/strand={number}" if core is not None else f"{fru}/strand={number}"
    return Part(f"{per}:{number}{kind}", event.device, f"cpu:///cpuid={number}", fru, resource, f"socket {chip}")


def _number(event: Ereport, name: str) -> int | None:
    found = event.payload.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
