"""Machine checks in text, of every writer."""

from __future__ import annotations

from support.logdata import only, read, sample

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


def test_a_record_without_its_status_is_none() -> None:
    assert not only(BankText, read("MCE 0\nCPU 1 BANK 2\nTIME 1\n"))


def test_two_in_a_row_are_two() -> None:
    text = "".join(f"mce: [Hardware Error]: CPU {n}: Machine Check: 0 Bank 2: 9400000000000151\n" for n in range(3))
    assert [report.fields["cpu"] for report in only(BankText, read(text))] == ["0", "1", "2"]


def test_words_of_other_errors_are_left_alone() -> None:
    text = "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0\nCPU 3 is now offline\n"
    assert not only(BankText, read(text))
