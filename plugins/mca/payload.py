"""What an ereport of a machine check says: illumos's members (usr/src/uts/i86pc/cpu/generic_cpu/gcpu_mca.c), then what else is known."""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.plugin import MachineCheck, PayloadValue, physical_address

from .check import Told

_COLOURS = {1: "green", 2: "yellow"}
# Members of a record that are said as they are, by the name that they get.
_NUMBERS = {
    "cpu": "cpu", "apicid": "apic-id", "socketid": "chip", "core": "core", "thread": "thread", "vcpu": "vcpu", "domid": "domain",
    "owner": "owner", "microcode": "microcode",
}  # fmt: skip
_TEXTS = {"via": "via", "state": "state", "action": "action", "recovery": "recovery", "doubt": "doubt", "identity": "identity"}
_TEXT_LIMIT = 200


def payload(one: Told) -> dict[str, PayloadValue]:
    """The payload of the ereport of *one*."""
    return {**_illumos(one), **dict(_ours(one))}


def _illumos(one: Told) -> dict[str, PayloadValue]:
    check, status = one.check, one.check.status
    found: dict[str, PayloadValue] = {
        "name": check.title,
        "bank_number": one.bank,
        "IA32_MCG_STATUS": _hex(check.mcg_status),
        "machine_check_in_progress": bool(check.mcg_status >> 2 & 1),
        "IA32_MCi_STATUS": _hex(status),
        "overflow": check.overflow,
        "error_uncorrected": check.disposition != "corrected",
        "error_enabled": bool(status >> 60 & 1),
        "processor_context_corrupt": bool(status >> 57 & 1),
        "error_code": check.code.word,
        "model_specific_error_code": status >> 16 & 0xFFFF,
        "disp": check.disposition,
        "compound_errorname": check.code.name,
    }
    for bit, name, key in ((58, "addr", "IA32_MCi_ADDR"), (59, "misc", "IA32_MCi_MISC")):
        word = one.number(name)
        if status >> bit & 1 and word is not None:  # without its valid bit the register holds an earlier error's word
            found[key] = _hex(word)
    if check.colour in _COLOURS:
        found["threshold_based_error_status"] = _COLOURS[check.colour]
    return found


def _ours(one: Told) -> Iterator[tuple[str, PayloadValue]]:
    check = one.check
    if (place := _address(one)) is not None:
        yield "address", _hex(place[0])
        yield "address-lsb", place[1]
    if check.count is not None:
        yield "corrected-count", check.count
    yield from _module(one, check)
    if (reporter := check.reporter(one.number("misc"))) is not None:
        yield "reporter", str(reporter)
    if check.code.level is not None:
        yield "level", check.code.level
    if check.code.filtered:
        yield "filtered", True
    yield from _scalable(one, check)
    for name, key in _NUMBERS.items():
        if (number := one.number(name)) is not None and number < 1 << 53:
            yield key, number
    for name in ("tsc", "ip", "mfn"):
        if number := one.number(name):
            yield name, _hex(number)
    for name, key in _TEXTS.items():
        if text := one.fields.get(name, ""):
            yield key, text[:_TEXT_LIMIT]


def _module(one: Told, check: MachineCheck) -> Iterator[tuple[str, PayloadValue]]:
    if ".quickpath.mem_" in check.class_ and check.status >> 59 & 1 and (misc := one.number("misc")) is not None:
        yield "dimm", misc >> 16 & 3  # of Xeon 5500 and 5600 (SDM 3B, "Intel IMC MC Error Codes for IA32_MCi_MISC")
        yield "channel", misc >> 18 & 3 if check.code.channel is None else check.code.channel
    elif check.code.channel is not None:
        yield "channel", check.code.channel


def _scalable(one: Told, check: MachineCheck) -> Iterator[tuple[str, PayloadValue]]:
    for flag in check.flags:
        yield flag, True
    if check.ipid:
        yield "ipid", _hex(check.ipid)
        yield "instance", check.ipid & 0xFFFFFFFF
    if check.unit is not None:
        yield "unit", check.unit.title
        yield "unit-key", check.unit.key
        yield "extended-code", check.status >> 16 & 0x3F
    if check.has_syndrome and (syndrome := one.number("synd")) is not None:
        yield "syndrome", _hex(syndrome)


def _address(one: Told) -> tuple[int, int] | None:
    # A record that says its address is a domain's gives the machine frame beside it, or no address that others could use.
    if one.fields.get("address") == "guest":
        frame = one.number("mfn")
        return None if frame is None else (frame << 12, 12)
    addr = one.number("addr")
    if addr is None:
        return None
    misc, scalable = one.number("misc") or 0, bool(one.check.ipid)
    return physical_address(one.check.status, addr, misc, one.check.origin, scalable=scalable, bank=one.bank)


def _hex(word: int) -> str:
    return f"{word & (1 << 64) - 1:016x}"
