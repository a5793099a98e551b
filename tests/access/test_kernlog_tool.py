"""What tools and other systems print: tracepoint, rasdaemon, ESXi, fault managers, pciconf, lspci."""

from __future__ import annotations

from support.logdata import only, read, sample

from pcifma.access.kernlog.report import AerEvent, BriefError, CxlError, FmaEreport, FmaFault, RasLine, RegisterText


def test_tracepoint_names_become_bits() -> None:
    found = only(AerEvent, sample("trace.log"))
    assert [(e.severity, e.status, e.protocol) for e in found] == [
        ("correctable", 0x41, "PCIe"),
        ("nonfatal", 0x40100000, "PCIe"),
        ("fatal", 0, "CXL"),
        ("fatal", 0x41000, "PCIe"),
    ]
    assert found[1].header == found[3].header == (0x40000001, 0xF, 0xFE000000, 0)


def test_rasdaemon_tables_keep_counts_and_dates() -> None:
    found = only(RasLine, sample("ras-mc-ctl.log"))
    assert [(r.severity, r.status, r.count, str(r.bdf)) for r in found] == [
        ("correctable", 0x41, 28, "None"),
        ("nonfatal", 0x4000, 1, "None"),
        ("correctable", 0x1000, 1, "0000:86:00.0"),
        ("fatal", 0x20, 1, "0000:86:00.0"),
    ]
    assert found[2].wall_ns == 1_625_544_698_000_000_000
    assert len(found[3].header) == 4


def test_summary_rows_outside_their_section_are_nothing() -> None:
    assert not read("Memory controller events summary:\n\t28 Corrected errors: x\n")


def test_esxi_words_and_a_blanked_address() -> None:
    known, blank = only(BriefError, sample("esxi.log"))
    assert (str(known.bdf), known.vendor, known.words) == ("0000:3b:00.0", 0x8086, {"CAP_EXP+a.w": 0xD, "ECAP_AER+4.l": 0x2000})
    assert (blank.bdf, blank.vendor, blank.words) == (None, None, known.words)
    assert known.wall_ns is not None


def test_faults_of_console_and_fmdump() -> None:
    console, listed = only(FmaFault, sample("fma.log"))
    assert (console.code, console.severity, console.uuid[:8]) == ("PCIEX-8000-0A", "Critical", "704825e5")
    assert listed.classes == (("fault.io.pciex.device-interr-corr", 67), ("fault.io.pciex.bus-linkerr-corr", 33))
    assert listed.affects[1] == "dev:////pci@0,0/pci8086,3a40@1c/pci8086,a01f@0"


def test_ereport_of_illumos_has_its_members() -> None:
    long, short = only(FmaEreport, sample("fma.log"))
    assert (long.class_, long.path, long.ena) == ("ereport.io.pci.fabric", "/pci@0,0/pci8086,3a40@1c", 0x7D2A5FF2BD100801)
    assert (long.members["pcie_ce_status"], long.members["bdf"]) == (0x1040, 0xE0)
    assert (short.class_, short.ena, short.members) == ("ereport.io.pciex.dl.btlp", 0x7D2A5FF2BD100801, {})


def test_pciconf_addresses_are_decimal_and_fatal_is_severity() -> None:
    first, second = only(RegisterText, sample("pciconf.log"))
    assert (str(first.bdf), first.vendor, first.device) == ("0000:03:00.1", 0x8086, 0x1521)
    assert first.words == {
        "6.w": 0x5000,
        "CAP_EXP+a.w": 0x6,
        "ECAP_AER+4.l": 0x44000,
        "ECAP_AER+c.l": 0x40000,
        "ECAP_AER+10.l": 0x40,
    }
    assert (str(second.bdf), second.vendor, second.words) == ("0003:82:00.0", 0x144D, {})


def test_lspci_text_from_a_mail_keeps_every_register() -> None:
    (found,) = only(RegisterText, sample("lspci.log"))
    assert (str(found.bdf), found.vendor, found.port_type) == ("0000:64:00.0", 0x8086, "Root Port")
    wanted = {
        "6.w": 0x2010,
        "1e.w": 0x2000,
        "CAP_EXP+8.w": 0x4,
        "CAP_EXP+a.w": 0x9,
        "CAP_EXP+12.w": 0x3083,
        "ECAP_AER+4.l": 0x100000,
        "ECAP_AER+10.l": 0x2000,
        "ECAP_AER+18.l": 0xB4,
        "ECAP_AER+30.l": 0x1,
        "ECAP_AER+34.l": 0x6400,
        "ECAP_DPC+8.w": 0x1F0D,
        "ECAP_SECPCI+8.l": 0x9,
    }
    assert {name: found.words[name] for name in wanted} == wanted
    assert found.header == (0x04000001, 0xF, 0x01070000, 0)


def test_fragment_of_lspci_needs_no_heading() -> None:
    (found,) = only(RegisterText, read("\t\tCESta:\tRxErr+ BadTLP- BadDLLP- Rollover- Timeout+ NonFatalErr+\n"))
    assert (found.bdf, found.words) == (None, {"ECAP_AER+10.l": 0x3001})


def test_prose_is_no_report() -> None:
    assert not read("Status: works for me+\nDevice 00:1c.0 is broken - error 12.\n\nCapabilities: many\n")


def test_windows_events_have_address_severity_and_what_registers_there_are() -> None:
    found = only(BriefError, sample("whea.log"))
    assert [(str(one.bdf), one.severity, one.vendor, one.device, dict(one.words)) for one in found] == [
        ("0000:00:1b.0", "correctable", 0x8086, 0xA2EB, {}),
        ("0000:03:1c.4", "fatal", 0x8086, 0xA114, {}),
        ("0001:00:1c.5", "correctable", 0x8086, 0xA115, {"ECAP_AER+10.l": 0x1001}),
        ("0000:05:00.1", "correctable", None, None, {"ECAP_AER+10.l": 0x40}),
    ]
    assert {one.teller for one in found} == {"whea"}


def test_windows_event_may_be_told_by_its_number_alone() -> None:
    text = "Event 17, WHEA-Logger\nBus: Device:Function: 0x0:0x3:0x0\nVendor ID:Device ID: 0x8086:0xd138\n"
    (found,) = only(BriefError, read(text))
    assert (str(found.bdf), found.severity, found.vendor) == ("0000:00:03.0", "correctable", 0x8086)
    (found,) = only(BriefError, read("Event ID: 16\nBus:Device:Function: 0x0:0x1c:0x5\n"))
    assert (str(found.bdf), found.severity) == ("0000:00:1c.5", "fatal")


def test_windows_event_with_an_impossible_address_is_none() -> None:
    assert not read("A fatal hardware error has occurred.\nBus:Device:Function: 0x0:0xFF:0x0\n")


def test_rasdaemon_s_event_may_name_the_device_and_lack_its_colon() -> None:
    text = (
        "<...>-2 [125] .... 0.017661 aer_event 2026-03-27 17:34:44 +0800 0000:99:00.0 "
        "(Intel Device 0b60 - vendor_id: 0x8086 device_id: 0xb60) "
    )
    (found,) = only(AerEvent, read(f"{text}Data Link Protocol Uncorrected (Non-Fatal)\n"))
    assert (str(found.bdf), found.severity, found.status) == ("0000:99:00.0", "nonfatal", 0x10)


def test_management_controllers_name_the_function_and_sometimes_the_status() -> None:
    found = only(BriefError, sample("bmc.log"))
    assert [(one.line, str(one.bdf), one.severity, dict(one.words)) for one in found] == [
        (1, "0000:3b:00.0", "fatal", {}),
        (2, "0000:ae:1f.7", "correctable", {}),
        (3, "0000:00:05.0", "nonfatal", {}),
        (4, "0001:61:1f.2", None, {"ECAP_AER+4.l": 0x140000}),
        (5, "0000:37:00.0", None, {"ECAP_AER+10.l": 0x1000}),
        (6, "0000:05:02.0", "nonfatal", {}),
    ]


def test_cxl_tracepoints_name_the_bits_of_the_ras_capability() -> None:
    found = only(CxlError, sample("cxl.log"))
    assert [(one.line, str(one.bdf), one.side, one.status) for one in found] == [
        (1, "0000:0f:00.0", "correctable", 1 << 2),
        (2, "0000:35:00.0", "uncorrectable", 1 << 3 | 1 << 7),
        (3, "0000:0c:00.0", "uncorrectable", 1 << 14),
        (4, "0000:0d:00.0", "correctable", 1 << 6),
        (5, "None", "correctable", 1 << 3),
    ]
