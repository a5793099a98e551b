"""`pcifma decode` as a command: registers by every name, logs in every packing, exit statuses, JSON lines, words for people."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.logdata import DATA

from pcifma.cli.main import run
from pcifma.cli.meaning import meaning
from pcifma.cli.word import SHORT_NAMES, words
from pcifma.errors import UsageError
from pcifma.regs.catalogue import CAPABILITIES, register_at
from pcifma.regs.table import Location

PORT = "pcieport 0000:00:1c.5: "
CORRECTED = f"{PORT}PCIe Bus Error: severity=Corrected, type=Data Link Layer, (Transmitter ID)\n"
STATUS = f"{PORT}  device [8086:9d15] error status/mask=00001000/00002000\n"


@dataclass
class Done:
    returncode: int
    stdout: bytes
    stderr: bytes


Decode = Callable[..., Done]


@pytest.fixture
def decode(capsysbinary: pytest.CaptureFixture[bytes]) -> Decode:
    def run_inside(*tokens: str | Path) -> Done:
        with pytest.raises(SystemExit) as exit_:
            run(["decode", *map(str, tokens)])
        captured = capsysbinary.readouterr()
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, captured.out, captured.err)

    return run_inside


def piped(*tokens: str | Path, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", "decode", *map(str, tokens)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


def lines(done: Done | subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_error_bit_of_a_value_exits_1(decode: Decode) -> None:
    done = decode("ECAP_AER+4.l", "0x00040000", "--json")
    found = lines(done)
    assert done.returncode == 1
    assert [line["class"] for line in found] == ["ereport.io.pci.fabric", "ereport.io.pciex.tl.mtlp", "sweep.summary"]
    assert (found[1]["severity"], found[1]["payload"]["bit"], found[1]["sources"]) == ("fatal", 18, ["value"])
    assert found[2] == {
        "class": "sweep.summary",
        "version": 1,
        "functions": 1,
        "read": 1,
        "unread": {},
        "ereports": 1,
        "residue": 0,
        "writes": 0,
    }


def test_residue_of_a_value_exits_0_and_is_named(decode: Decode) -> None:
    done = decode("DevSta", "9")
    assert done.returncode == 0
    assert b"residue  Unsupported Request Detected  bit 3  tl.ur" in done.stdout


def test_value_without_error_bits_is_explained_in_fields(decode: Decode) -> None:
    done = decode("LnkSta", "1043", "--json")
    assert done.returncode == 0
    assert lines(done)[0]["payload"]["fields"] == [
        "CAP_EXP+12.w Current Link Speed 8.0 GT/s",
        "CAP_EXP+12.w Negotiated Link Width 4",
        "CAP_EXP+12.w Slot Clock Configuration",
    ]


def test_severity_register_beside_it_decides(decode: Decode) -> None:
    done = decode("UESta=4000", "UESvrt=4000", "UEMsk=4000", "--json", "--device", "0000:04:00.0")
    (found,) = [line for line in lines(done) if line["class"].endswith(".cto")]
    assert (found["severity"], found["payload"]["masked"], found["device"]) == ("fatal", True, "0000:04:00.0")
    assert "severity-assumed" not in found["payload"]


def test_header_log_is_one_header(decode: Decode) -> None:
    done = decode("HeaderLog", "60000008", "040000ff", "00000001", "f0001000")
    assert done.stdout.decode().splitlines() == [
        "Header Log  ECAP_AER+1c.l = 60000008 040000ff 00000001 f0001000",
        "         MWr64 8 DW, requester 0000:04:00.0, to 0x1_f000_1000",
    ]


def test_root_error_status_needs_no_type(decode: Decode) -> None:
    done = decode("aer.root_error_status", "0x41")
    assert done.returncode == 1
    assert b"FATAL    Fatal Error Messages Received  bit 6  rc.fe-msg" in done.stdout


def test_type_chooses_between_layouts(decode: Decode) -> None:
    done = decode("ECAP_AER+2c.l", "0x80", "--type", "pcie-to-pci-bridge")
    assert b"Uncorrectable Data Error" in done.stdout


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        ((), "give either REGISTER VALUE or --log FILE"),
        (("DevSta",), "its value is missing"),
        (("DevSta", "12345"), "which has 16 bits"),
        (("DevSta", "UESta", "1"), "comes its value in hexadecimal"),
        (("nonsense", "1"), "nonsense"),
        (("00100000",), "before a value stands its register: pcifma decode UESta 00100000"),
        (("bea0000000000108",), "before a value stands its register: pcifma decode mci_status bea0000000000108"),
        (("error status/mask=00100000/00000000",), "'error status/mask' is no register"),
        (("pcieport 0000:00:1c.0: PCIe Bus Error",), "; a line of a log: pcifma decode --log FILE"),
        (("DevSta:", "CorrErr+"), "; flags as lspci prints them: pcifma decode --log FILE"),
        (("UESta", "1", "--type", "toaster"), "there are endpoint"),
        (("UESta", "1", "--device", "x"), "no Function address"),
        (("UESta", "1", "--log", "x"), "give either"),
        (("--log", "x", "--flit"), "not with --log"),
        (("--log", "/nonexistent/dmesg"), "/nonexistent/dmesg: No such file or directory: give a file"),
        (("--log", "/"), "/: Is a directory: give a file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(decode: Decode, tokens: tuple[str, ...], complaint: str) -> None:
    done = decode(*tokens)
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_a_register_and_its_values_may_be_one_quoted_argument(decode: Decode) -> None:
    assert b"MWr32 1 DW" in decode("TLP Header: 40000001 0000030f 90028090 00000000").stdout
    assert b"Unsupported Request" in decode("aer_uncor_status: 0x00100000").stdout


def test_log_gives_json_lines_and_a_trailer(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "dmesg.txt"
    log.write_text((CORRECTED + STATUS) * 2)
    done = decode("--log", log, "--json")
    found = lines(done)
    assert done.returncode == 1
    assert [line["class"].rpartition(".")[2] for line in found] == ["fabric", "rto", "fabric", "rto", "summary"]
    assert (found[1]["host"], found[3]["payload"]["line"]) == ("dmesg.txt", 3)
    assert (found[-1]["functions"], found[-1]["ereports"]) == (1, 2)


def test_log_on_standard_input_has_the_boot_of_its_bytes(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "dmesg.txt"
    log.write_text(CORRECTED + STATUS)
    nameless, named = lines(piped("--log", "-", "--json", stdin=log.read_bytes())), lines(decode("--log", log, "--json"))
    assert nameless[0]["host"] == "stdin"
    assert nameless[0]["boot"] == named[0]["boot"]


def test_log_of_nothing_exits_0() -> None:
    done = piped("--log", "-", stdin=b"all is well\n")
    assert (done.returncode, done.stdout) == (0, b"stdin  no error report of a known form\n")


def test_log_whose_errors_are_of_no_known_form_is_not_clean(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "typed.txt"
    log.write_text("pcieport 0000:00:1c:0: PCIe Bus Error: serverity=Corrected, type=Data Link Layer\n")
    done = decode("--log", log, "--json")
    assert (done.returncode, lines(done)[-1]["unread"]) == (3, {"unknown-form": 1})
    assert b"line 1 speaks of an error" in done.stderr


def test_a_capture_s_bytes_are_no_clean_log(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "lspci.txt"
    log.write_text(f"00:1c.0 PCI bridge: X\n00: 86 80 3c a3{' 00' * 12}\n")
    done = decode("--log", log, "--json")
    assert (done.returncode, lines(done)[-1]["unread"]) == (3, {"unknown-form": 1})
    assert b"from line 2 on: pcifma sweep " in done.stderr


def test_processor_s_and_memory_s_errors_are_told_with_what_leads_to_the_part(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "edac.txt"
    log.write_text(
        "EDAC sbridge MC1: CPU 7: Machine Check Event: 0 Bank 9: 8c000052000800c1\nEDAC sbridge MC1: ADDR 12345e080\n"
        "EDAC MC1: 1 CE memory scrubbing error on DIMM_B1 (channel:0 slot:1 page:0x12345e offset:0x80 grain:32 syndrome:0x0)\n"
        "EDAC MC0: 1 UE error on DIMM_A1 (channel:0 slot:1 page:0x0 offset:0x0 grain:32 syndrome:0x0)\n"
    )
    text = decode("--log", log).stdout.decode()
    assert "2 reported errors at 2 places" in text
    assert "bank9 code 0x00c1" in text and "at physical address 0x000000012345e080, DIMM_B1, channel 1" in text
    assert "memory could not be corrected" in text and "at DIMM_A1" in text


def test_repeats_are_folded_for_people(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "dmesg.txt"
    log.write_text((CORRECTED + STATUS) * 9)
    text = decode("--log", log).stdout.decode().splitlines()
    assert text[0] == "dmesg.txt  9 reported bits of 1 Function"
    assert text[1].startswith("CORR     0000:00:1c.5")
    assert text[2] == "           Replay Timer Timeout  corr  dl.rto  CESta bit 12  9 times, lines 1 to 17"
    assert text[3].strip() == meaning("ereport.io.pciex.dl.rto")


def test_containment_says_why_and_from_whom(decode: Decode) -> None:
    text = decode("--log", DATA / "dpc.log").stdout.decode()
    assert "reason: RP PIO error\n" in text
    assert "reason: ERR_NONFATAL, from 0000:34:00.0\n" in text


def test_packed_log_is_unpacked_and_a_damaged_one_named(decode: Decode, tmp_path: Path) -> None:
    packed = tmp_path / "kern.log.gz"
    packed.write_bytes(gzip.compress((CORRECTED + STATUS).encode()))
    assert decode("--log", packed).returncode == 1
    packed.write_bytes(packed.read_bytes()[:-12])
    done = decode("--log", packed)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert b"cannot be unpacked to its end" in done.stderr


def test_hostile_bytes_do_not_reach_the_terminal(decode: Decode, tmp_path: Path) -> None:
    log = tmp_path / "dmesg.txt"
    log.write_bytes(
        b"0000:64:00.0 PCI bridge: \x1b[31mEvil\x07 \xe2\x80\xae(rev 07)\n\tUESta:\tDLP+ SDES- TLP-\n" + (CORRECTED + STATUS).encode()
    )
    out = decode("--log", log).stdout
    assert b"\x1b" not in out
    assert b"\x07" not in out
    assert b"\xe2\x80\xae" not in out


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.log")))
def test_every_sample_is_told_to_people_and_machines(decode: Decode, name: str) -> None:
    people, machines = decode("--log", DATA / name), decode("--log", DATA / name, "--json")
    assert people.returncode == machines.returncode == 1
    assert lines(machines)[-1]["class"] == "sweep.summary"
    assert not people.stderr + machines.stderr


def test_every_short_name_is_a_register_of_the_tables() -> None:
    for name, place in SHORT_NAMES.items():
        assert register_at(Location.parse(place)) is not None, name


def test_words_that_follow_go_to_the_registers_that_follow() -> None:
    assert words(["UESta", "1", "2", "STATUS=10,20"]) == {
        Location("ECAP_AER", 4, 4): 1,
        Location("ECAP_AER", 8, 4): 2,
        Location("", 6, 2): 0x10,
        Location("", 8, 2): 0x20,
    }


@pytest.mark.parametrize(
    "name",
    ["aer_uncor_status", "aer_uncor_status:", "Uncorrectable Error Status", "UESta:", "ECAP_AER+0x4.l", "PCI_ERR_UNCOR_STATUS", "uesta"],
)
def test_register_may_be_called_as_it_stands_in_a_log_or_in_the_specification(name: str) -> None:
    assert words([name, "4000"]) == {Location("ECAP_AER", 4, 4): 0x4000}


def test_name_that_means_either_register_is_asked_about() -> None:
    with pytest.raises(UsageError, match="UESta or CESta"):
        words(["aer_status", "1000"])


def test_word_of_a_bank_is_told_from_pci_status() -> None:
    with pytest.raises(UsageError, match="mci_status"):
        words(["status", "be00000000800400"])


def test_all_ones_are_said_to_be_no_errors(decode: Decode) -> None:
    assert b"all ones: so reads a Function that is gone" in decode("UESta", "ffffffff").stdout
    assert b"all ones" not in decode("UESta", "7fffffff").stdout


def test_huge_number_is_refused_not_cut() -> None:
    with pytest.raises(UsageError, match="does not fit"):
        words(["UESta", "1" * 20])


def test_every_error_class_of_the_tables_has_a_meaning() -> None:
    classes = {f.ereport for c in CAPABILITIES for r in c.registers for f in r.fields if f.ereport}
    assert not [name for name in classes if not meaning(f"ereport.{name}")]


def test_a_machine_check_by_its_status_word(decode: Decode) -> None:
    done = decode("mci_status", "0x9c00000000010151")
    text = done.stdout.decode()
    assert done.returncode == 1
    assert "ICACHEL1_IRD_ERR" in text and "--vendor amd" in text and "SDM 15.9.2" in text


def test_a_machine_check_with_its_capabilities_and_address(decode: Decode) -> None:
    words = ("MC8_STATUS=bd000000004000cf", "mcg_cap", "0x100010a", "mci_misc", "8c", "mci_addr", "7f000123", "--vendor", "intel", "--json")
    done = decode(*words)
    event, trailer = (json.loads(line) for line in done.stdout.splitlines())
    assert (event["class"], event["severity"], event["payload"]["disp"]) == ("ereport.cpu.intel.mc", "nonfatal", "srao")
    assert (event["payload"]["address"], event["payload"]["address-lsb"]) == ("000000007f000000", 12)
    assert (event["payload"]["bank_number"], trailer["ereports"]) == (8, 1)


def test_an_io_machine_check_names_the_function_that_reported_it(decode: Decode) -> None:
    done = decode("mci_status=bb80000000000e0b", "mci_misc=10100000")
    text = done.stdout.decode()
    assert done.returncode == 1
    assert "reported by PCI Function 0000:10:02.0" in text and "PCI Express Requester ID" in text and "unknown" not in text
    out = piped("--log", "-", stdin=b"2026-03-30T23:16:22Z cpu5:2097)MCA: 191: UC Excp G5 B6 Sbb80000000000e0b A0 M10100000 P0/0 I/O\n")
    assert b"at PCI Function 0000:10:02.0" in out.stdout


def test_a_status_that_is_not_valid_is_no_error(decode: Decode) -> None:
    done = decode("mci_status", "0x1c00000000010151")
    assert done.returncode == 0 and "no error" in done.stdout.decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mci_status",), "after it comes its value"),
        (("mci_status", "x"), "after it comes its value"),
        (("mci_status", "1" * 17), "64 bits"),
        (("mci_status", "0", "UESta", "0"), "no register of a machine check"),
        (("UESta", "0", "--vendor", "amd"), "--vendor goes with"),
    ],
)
def test_what_is_off_about_a_machine_check_is_said(decode: Decode, words: tuple[str, ...], said: str) -> None:
    done = decode(*words)
    assert done.returncode == 2 and said in done.stderr.decode()


def test_machine_checks_of_a_log_are_ereports(decode: Decode) -> None:
    done = decode("--log", str(DATA / "mce.log"), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    assert [(event["device"], event["class"], event["severity"]) for event in events] == [
        ("cpu0", "ereport.cpu.intel.internal_timer", "fatal"),
        ("cpu2", "ereport.cpu.amd.bus_interconnect_io", "correctable"),
        ("cpu1", "ereport.cpu.intel.l1icache", "correctable"),
        ("cpu12", "ereport.cpu.intel.quickpath.mem_ce", "correctable"),
        ("cpu3", "ereport.cpu.generic-x86.l0dcache_uc", "nonfatal"),
    ]
    assert [event["count"] for event in events] == [1, 1, 1, 3, 1]
    assert events[1]["payload"]["unit-key"] == "pie"
