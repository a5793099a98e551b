"""Names of registers: what people and setpci write, and what comes back."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.regs.aer import AER
from pcifma.regs.catalogue import BY_ID, BY_KEY, BY_NAME, CAPABILITIES, lookup, register_at, resolve
from pcifma.regs.exp import DevType
from pcifma.regs.name import EXTENDED, HEADER, STANDARD, canonical, capability_name
from pcifma.regs.table import Capability, Location


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("STATUS.w", "6.w"),
        ("STATUS", "6.w"),
        ("status", "6.w"),
        ("SECONDARY_STATUS", "1e.w"),
        ("SEC_STATUS", "1e.w"),
        ("BRIDGE_CONTROL", "3e.w"),
        ("COMMAND+2.w", "6.w"),
        ("CAP_EXP+a.w", "CAP_EXP+a.w"),
        ("CAP_EXP+a", "CAP_EXP+a.w"),
        ("CAP10+A.W", "CAP_EXP+a.w"),
        ("ECAP_AER+4.l", "ECAP_AER+4.l"),
        ("ECAP1+4", "ECAP_AER+4.l"),
        ("ECAP0001+4.l", "ECAP_AER+4.l"),
        ("ECAP_32GT+c", "ECAP2a+c.l"),
        ("ECAP_DVSEC+e.w@1", "ECAP_DVSEC+e.w@1"),
        ("CAP15+4.l", "CAP15+4.l"),
        ("98.l", "98.l"),
        ("  98.l ", "98.l"),
        ("aer.correctable_error_status", "ECAP_AER+10.l"),
        ("DPC.RP_PIO_STATUS", "ECAP_DPC+c.l"),
        ("uncorrectable_error_status", "ECAP_AER+4.l"),
        ("RP_PIO_Status", "ECAP_DPC+c.l"),
    ],
)
def test_resolve_takes_what_people_write(text: str, name: str) -> None:
    assert str(resolve(text)) == name
    assert resolve(text) == Location.parse(name)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("98", "98.b, 98.w or 98.l"),
        ("CAP_EXP", "CAP_EXP.b"),
        ("STATSU", "did you mean STATUS?"),
        ("CAP_EPX+a.w", "did you mean CAP_EXP?"),
        ("aer.corectable_error_status", "did you mean correctable_error_status?"),
        ("aer.zzz", "has no register 'zzz'"),
        ("ECAP_AER+5.l", "starts at a multiple of 4"),
        ("CAP_EXP+ffe.w", "ends at 100h"),
        ("fff.w", "ends at 1000h"),
        ("", "write it as setpci does"),
        ("STATUS+", "write it as setpci does"),
        ("STATUS=ff", "write it as setpci does"),
    ],
)
def test_resolve_refuses_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)) as error:
        resolve(text)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_resolve_answers_or_refuses_any_text(text: str) -> None:
    try:
        location = resolve(text)
    except ValueError:
        return
    assert Location.parse(str(location)) == location


def test_lookup_by_key_finds_the_very_row() -> None:
    location, register = lookup("aer.secondary_uncorrectable_error_status")
    assert str(location) == "ECAP_AER+2c.l"
    assert register is AER["secondary_uncorrectable_error_status"]


def test_lookup_of_an_undescribed_place_has_no_row() -> None:
    assert lookup("98.l") == (Location("", 0x98, 4), None)


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: c.key)
def test_every_register_is_found_again(capability: Capability) -> None:
    for register in capability.registers:
        dev_type, layout = min(register.types, default=None), min(register.layouts, default=None)
        found = register_at(capability.location(register), dev_type=dev_type, layout=layout, form=register.form)
        assert found == (capability, register)


def test_register_at_tells_layouts_apart() -> None:
    place = Location("ECAP_AER", 0x30, 4)
    bridge = register_at(place, dev_type=DevType.PCIE_TO_PCI_BRIDGE)
    assert bridge is not None
    assert bridge[1].key == "secondary_uncorrectable_error_mask"
    assert register_at(place, dev_type=DevType.ENDPOINT) is None
    assert register_at(Location("CAP15", 4, 4)) is None


def test_every_table_is_found_by_id_name_and_key() -> None:
    for capability in CAPABILITIES:
        assert BY_ID[capability.kind, capability.id] is capability
        assert BY_NAME[capability.name] is capability
        assert BY_KEY[capability.key] is capability


def test_capability_names_come_back_from_their_numbers() -> None:
    for extended, names in ((False, STANDARD), (True, EXTENDED)):
        for id, name in names.items():
            assert capability_name(id, extended=extended) == name == canonical(name)
    assert capability_name(0x2A, extended=True) == "ECAP2a" == canonical("ECAP2A")


@pytest.mark.parametrize("text", ["CAP", "ECAP", "CAP100", "ECAP10000", "CAP_", "CAPEXP", "XCAP1", "CAP_EXP "])
def test_what_setpci_does_not_know_has_no_canonical_name(text: str) -> None:
    assert canonical(text) is None


@pytest.mark.skipif(shutil.which("setpci") is None, reason="setpci is not installed: its own list of names cannot be asked")
def test_names_are_those_of_setpci() -> None:
    listed = subprocess.run(["setpci", "--dumpregs"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    for number, width, *name in (line.split() for line in listed):
        if width in "BWL":
            assert HEADER[name[0]] == (int(number, 16), " BW L".index(width))
        else:
            extended = name[-1].startswith("ECAP")
            assert capability_name(int(number, 16), extended=extended) in (name[-1], f"ECAP{int(number, 16):x}")
