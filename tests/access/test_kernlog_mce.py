"""Machine checks in text, of every writer."""

from __future__ import annotations

from support.logdata import only, read, sample

from pcifma.access.kernlog.bank import with_vendor
from pcifma.access.kernlog.report import BankText


def test_each_writer_is_read_with_what_follows() -> None:
    kernel, amd, trace, program, panic = only(BankText, sample("mce.log"))
    assert kernel.fields.items() >= {"bank": "5", "status": "0xbe00000000800400", "addr": "0x3fff81", "apicid": "0x4"}.items()
    assert (kernel.fields["cpuvendor"], kernel.fields["cpuid"], kernel.boot_ns) == ("0", "0x306c3", 12_345_678_000)
    assert amd.fields == {
        "cpu": "2", "bank": "27", "status": "0x982000000002080b", "vendor": "amd", "cpuid": "0x830f10", "ipid": "0x1002e00000500",
        "synd": "0x5a020001",
    }  # fmt: skip
    assert (trace.fields["cpu"], trace.fields["mcgcap"], trace.fields["addr"]) == ("1", "0x100010a", "0x2000")
    assert (program.fields["cpu"], program.fields["socketid"], program.fields["cpuid"]) == ("12", "1", "0x206c0")
    assert (panic.fields["mcgstatus"], panic.fields["misc"], panic.fields["addr"]) == ("0x5", "0x86", "0x81234567c0")


def test_other_systems_and_programs_are_read_too() -> None:
    found = [report.fields for report in only(BankText, sample("bank.log"))]
    assert [(one.get("cpu"), one["bank"], one["status"]) for one in found] == [
        ("7", "9", "0x8c000052000800c1"),  # EDAC
        ("1", "4", "0xf600200112080813"),  # the rest in the same line
        ("2", "5", "0xb604a00100000813"),  # Linux 2.4
        ("3", "2", "0xd400008000040150"),  # Xen
        (None, "4", "0xdc10410040080a13"),  # AMD's decoder before Linux 3.2
        ("4", "4", "0x940c4001fe080813"),  # FreeBSD, in its daily mail
        (None, "6", "0xbb00002000000e0b"),  # ESXi, new and old
        ("5", "9", "0x900000400009008f"),
        ("6", "17", "0x9c2040000000011b"),  # ras-mc-ctl
        ("32", "13", "0x8c00004200800090"),
        ("9", "1", "0x9c00000000000e0b"),  # what mcelog --ascii takes
        ("16", "11", "0x8c000041000800c2"),  # rasdaemon, whose numbers are hexadecimal but for these
        ("2", "21", "0xdc2040000400011b"),
    ]
    edac, inline, old, _, amd, bsd, esxi, *_ = found
    assert (edac["addr"], edac["misc"], edac["cpuid"], edac["socketid"]) == ("0x12345e000", "0x90000040004008c", "0x306e4", "1")
    assert (inline["addr"], old["addr"], old["misc"], old["mcgstatus"]) == ("0x180ee1b00", "0x7e4f2f00", "0x86", "0x4")
    assert (amd["vendor"], amd["addr"]) == ("amd", "0x12345000")
    assert (bsd["vendor"], bsd["apicid"], bsd["addr"], bsd["mcgcap"]) == ("amd", "5", "0x7ff600", "0x0000000000000105")
    assert (esxi["mcgstatus"], esxi["addr"], esxi["misc"]) == ("0x4", "0x1234", "0x180008")


def test_the_signature_proves_the_maker_and_the_program_names_the_unit() -> None:
    *_, amd, intel, _, bridge, umc = (report.fields for report in only(BankText, sample("bank.log")))
    assert (amd["vendor"], amd["unit"]) == ("amd", "Unified Memory Controller")
    assert (intel["vendor"], intel["socketid"]) == ("intel", "1")
    assert (bridge["vendor"], umc["vendor"], umc["unit"]) == ("intel", "amd", "Unified Memory Controller")
    assert with_vendor({"cpuid": "0x660"}) == {"cpuid": "0x660"}  # an Athlon, or a Pentium II


def test_a_record_without_its_status_is_none() -> None:
    assert not only(BankText, read("MCE 0\nCPU 1 BANK 2\nTIME 1\n"))


def test_two_in_a_row_are_two() -> None:
    text = "".join(f"mce: [Hardware Error]: CPU {n}: Machine Check: 0 Bank 2: 9400000000000151\n" for n in range(3))
    assert [report.fields["cpu"] for report in only(BankText, read(text))] == ["0", "1", "2"]


def test_words_of_other_errors_are_left_alone() -> None:
    text = "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0\nCPU 3 is now offline\n"
    assert not only(BankText, read(text))
