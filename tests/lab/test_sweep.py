"""Errors are injected into real registers of a real kernel; what sweep says is held to the laboratory's own table and reader."""

from __future__ import annotations

import pytest
from lab import product, reporting
from lab.expect import ADVISORY, ERRORS, Error, classes, parse
from lab.machine import Machine

PLACES = ("ep1", "up1", "dn1", "rp1", "ep2", "rp2", "dn2", "br1")
HEADER = (0x40000001, 0x0000000F, 0xFEE00000, 0xDEADBEEF)
# QEMU 7.2 stores the dwords byte-swapped; pcifma must say what the registers hold.
SWAPPED = [int.from_bytes(word.to_bytes(4, "little"), "big") for word in HEADER]


def swept_equals_read(machine: Machine) -> product.Sweep:
    """Sweep inside *machine* and hold every Function to what lspci's bytes say of it: each class once, and no other."""
    swept = product.sweep(product.inside(machine, "sweep", "--json"))
    read = parse(machine.check("lspci -D -xxxx"))
    assert {address: swept.classes(address) for address in read} == {address: classes(registers) for address, registers in read.items()}
    assert {bit.device for bit in swept.bits} <= set(read)
    return swept


def spread(shift: int) -> dict[str, Error]:
    """Return an error for each of PLACES, the next ones of the table from *shift* on."""
    return {place: ERRORS[(shift + number) % len(ERRORS)] for number, place in enumerate(PLACES)}


@pytest.mark.lab
def test_sweep_names_every_error_and_capture_and_recording_say_the_same_elsewhere(machine: Machine) -> None:
    injected = [(place, error) for shift in range(0, len(ERRORS), len(PLACES)) for place, error in spread(shift).items()]
    for place, error in injected:
        machine.inject(place, error.name)
    here = swept_equals_read(machine)
    for place, error in injected:
        assert here.classes(machine.address(place)).count(f"pciex.{error.leaf}") == 1
    machine.check(f"rm -rf /lab/recording; lspci -D -xxxx >/lab/capture.lspci; {product.PROGRAM} record /lab/recording", product.SECONDS)
    for source in ("capture.lspci", "recording"):
        assert product.sweep(product.outside("sweep", "--json", str(machine.share / source))).bits == here.bits


@pytest.mark.lab_full
def test_sweep_names_every_error_at_every_function(machine: Machine) -> None:
    for place in PLACES:
        for error in ERRORS:
            machine.inject(place, error.name)
    swept = swept_equals_read(machine)
    for place in PLACES:
        found = [leaf for leaf in swept.classes(machine.address(place)) if not leaf.startswith(("pci.", "pciex.rc."))]
        assert found == sorted(f"pciex.{error.leaf}" for error in ERRORS), place
    assert swept.status == 1


@pytest.mark.lab
def test_sweep_of_clear_registers_finds_nothing_but_what_cannot_be_cleared(linux_nomsi: Machine) -> None:
    assert {bit.leaf for bit in swept_equals_read(linux_nomsi).bits} <= {"pci.sec-rserr"}


@pytest.mark.lab
def test_sweep_reads_messages_masks_and_header_logs(linux_nomsi: Machine) -> None:
    reporting.open_path(linux_nomsi)
    injected = {"ep1": "MALF_TLP", "ep2": "COMP_TIME", "dn2": "INTERNAL"}
    for place, name in injected.items():
        linux_nomsi.inject(place, name, header=HEADER)
    swept = swept_equals_read(linux_nomsi)
    device = {place: linux_nomsi.address(place) for place in ("ep1", "ep2", "dn2", "rp1", "rp2")}
    assert "pciex.rc.fe-msg" in swept.classes(device["rp1"])
    assert "pciex.rc.nfe-msg" in swept.classes(device["rp2"])
    payload = {(line["device"], line["class"].rpartition(".")[2]): line["payload"] for line in swept.lines if "device" in line}
    assert payload[device["dn2"], "ce"]["masked"] is True
    assert "masked" not in payload[device["ep1"], "mtlp"]
    assert [payload[device["ep1"], "fabric"][f"pcie_ue_hdr{number}"] for number in range(4)] == SWAPPED


@pytest.mark.lab
def test_advisory_errors_are_swept_as_advisory(linux_nomsi: Machine) -> None:
    injected = dict(zip(("ep1", "ep2", "up1", "dn1"), (error for error in ADVISORY if error.name != "UNSUP"), strict=True))
    for place, error in injected.items():
        # While advisory errors are masked, as they are after reset, the Uncorrectable bit is not set either (6.2.4.3).
        linux_nomsi.setpci(place, "ECAP_AER+14.l=0:2000")
        linux_nomsi.inject(place, error.name, advisory=True)
        linux_nomsi.setpci(place, "ECAP_AER+14.l=2000:2000")
    swept = swept_equals_read(linux_nomsi)
    for place, error in injected.items():
        lines = [line for line in swept.lines if line["class"] == f"ereport.io.pciex.{error.leaf}"]
        assert [(line["device"], line["severity"]) for line in lines] == [(linux_nomsi.address(place), "advisory")]


@pytest.mark.lab_full
def test_deaf_endpoint_is_swept(deaf: Machine) -> None:
    reporting.clear(deaf)
    for error in ERRORS:
        deaf.inject("deaf1", error.name)
    found = swept_equals_read(deaf).classes(deaf.address("deaf1"))
    assert [leaf for leaf in found if leaf.startswith("pciex.")] == sorted(f"pciex.{error.leaf}" for error in ERRORS)
