"""Machine-check words: every code has one meaning, every bit one name, and what a processor lacks is not read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.regs import mca
from pcifma.regs.mca_code import CODES, error_code
from pcifma.regs.mca_error import MachineCheck, Origin, physical_address
from pcifma.regs.smca import BANK_TYPES, bank_type

DOC = Path(__file__).parents[2] / "docs" / "mca.md"
BEGIN, END = "<!-- generated: error codes -->", "<!-- end of the generated part -->"
VALID, UC, PCC, OVER, ADDRV, MISCV = (1 << bit for bit in (63, 61, 57, 62, 58, 59))
SER_P, CMCI_P, TES_P = 1 << 24, 1 << 10, 1 << 11
ORIGINS = (Origin(), Origin("intel", 6, 0x55, 0x0F00_0C14), Origin("intel", 6, 0x1A, 0x1C09), Origin("amd", 23, 1, None))


def check(status: int, origin: Origin = ORIGINS[0], *, bank: int = 0, ipid: int = 0) -> MachineCheck:
    return MachineCheck(VALID | status, origin, bank, ipid)


def test_every_code_is_of_exactly_one_form() -> None:
    exact = {row.value for row in CODES if row.mask == 0xFFFF}
    forms = [row for row in CODES if row.mask != 0xFFFF]
    for word in range(1 << 16):
        fitting = [row for row in forms if word & row.mask == row.value]
        assert len(fitting) <= 1, f"{word:#06x}: {[row.title for row in fitting]}"
        row = error_code(word).row
        if word in exact:
            assert row.value == word
        elif fitting:
            assert row is fitting[0]
        else:
            assert row.kind == "unknown"


def test_every_code_gives_one_class_for_every_vendor_and_outcome() -> None:
    for word in range(1 << 16):
        for origin in ORIGINS[1:]:
            for outcome in (0, UC):
                class_ = check(outcome | word, origin).class_
                prefix, _, leaf = class_.rpartition(".")
                assert prefix.startswith(f"ereport.cpu.{origin.vendor or 'generic-x86'}") and leaf.replace("_", "").isalnum()


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.sampled_from(ORIGINS), st.integers(0, 63))
def test_no_word_raises(status: int, ipid: int, origin: Origin, bank: int) -> None:
    one = MachineCheck(status, origin, bank, ipid)
    assert one.severity in ("correctable", "nonfatal", "fatal")
    assert one.class_.startswith("ereport.cpu.")
    assert (one.colour is None) or 0 <= one.colour <= 3
    assert (one.count is None) or 0 <= one.count < 1 << 15
    physical_address(status, ipid, status, origin)


# Codes written down from the manual's tables, not from the rows.
@pytest.mark.parametrize(
    ("word", "name", "leaf"),
    [
        (0x0001, "UNCLASSIFIED", "unclassified"),
        (0x0002, "MICROCODE_ROM_PARITY", "microcode_rom_parity"),
        (0x0003, "EXTERNAL", "external"),
        (0x0004, "FRC", "frc"),
        (0x0005, "INTERNAL_PARITY", "internal_parity"),
        (0x0400, "INTERNAL_TIMER", "internal_timer"),
        (0x0401, "INTERNAL_UNCLASSIFIED", "internal_unclassified"),
        (0x07FF, "INTERNAL_UNCLASSIFIED", "internal_unclassified"),
        (0x0E0B, "IO", "io"),
        (0x1E0B, "IO", "io"),
        (0x000F, "GCACHELG_ERR", "cache"),
        (0x000D, "GCACHEL1_ERR", "l1cache"),
        (0x0015, "DTLBL1_ERR", "l1dtlb"),
        (0x001A, "GTLBL2_ERR", "l2tlb"),
        (0x0091, "RD_CHANNEL1_ERR", "mc"),
        (0x00CF, "MS_CHANNEL_ANY_ERR", "mc"),
        (0x0134, "DCACHEL0_DRD_ERR", "l0dcache"),
        (0x0136, "DCACHEL2_DRD_ERR", "l2dcache"),
        (0x0150, "ICACHEL0_IRD_ERR", "l0icache"),
        (0x017A, "GCACHEL2_EVICT_ERR", "l2cache"),
        (0x1151, "ICACHEL1_IRD_ERR", "l1icache"),
        (0x0291, "EXT_RD_CHANNEL1_ERR", "ext_mc"),
        (0x0800, "BUSL0_SRC_ERR_M_NOTIMEOUT_ERR", "bus_interconnect_memory"),
        (0x0A13, "BUSG_RES_RD_M_NOTIMEOUT_ERR", "bus_interconnect_memory"),
        (0x0F0F, "BUSG_G_ERR_other_TIMEOUT_ERR", "bus_interconnect"),
        (0x080B, "BUSG_SRC_ERR_IO_NOTIMEOUT_ERR", "bus_interconnect_io"),
        (0x0200, "UNKNOWN", "unknown"),
        (0x2000, "UNKNOWN", "unknown"),
    ],
)
def test_codes_read_as_the_manual_says(word: int, name: str, leaf: str) -> None:
    found = error_code(word)
    assert (found.name, found.leaf) == (name, leaf)


def test_an_io_error_names_the_function_that_reported_it() -> None:
    misc = 0x02_1A18_0086  # segment 2, requester 1a:03.0
    assert str(check(UC | PCC | MISCV | 0x0E0B, Origin("intel")).reporter(misc)) == "0002:1a:03.0"
    assert check(UC | PCC | 0x0E0B, Origin("intel")).reporter(misc) is None  # MISC is not valid
    assert check(UC | MISCV | 0x0E0B, Origin("amd")).reporter(misc) is None
    assert check(UC | MISCV | 0x080B, Origin("intel")).reporter(misc) is None


def test_uncorrected_caches_have_a_leaf_of_their_own_and_memory_has_not() -> None:
    assert check(UC | 0x0136, Origin("intel")).class_ == "ereport.cpu.intel.l2dcache_uc"
    assert check(UC | 0x0091, Origin("intel", 6, 0x55)).class_ == "ereport.cpu.intel.mc"


@pytest.mark.parametrize(
    ("bits", "disposition", "severity"),
    [
        (0, "corrected", "correctable"),
        (UC | PCC, "fatal", "fatal"),
        (UC, "ucna", "nonfatal"),
        (UC | 1 << 56, "srao", "nonfatal"),
        (UC | 3 << 55, "srar", "nonfatal"),
        (UC | 3 << 55 | OVER, "fatal", "fatal"),
    ],
)
def test_signaled_and_action_required_say_what_is_expected(bits: int, disposition: str, severity: str) -> None:
    one = check(bits, Origin("intel", mcg_cap=SER_P))
    assert (one.disposition, one.severity) == (disposition, severity)


def test_bits_of_capabilities_that_are_not_there_say_nothing() -> None:
    word = 2 << 53 | 5 << 38 | 0x0136
    poor, rich = check(word, Origin("intel", mcg_cap=SER_P)), check(word, Origin("intel", mcg_cap=CMCI_P | TES_P))
    assert (poor.colour, poor.count) == (None, None)
    assert (rich.colour, rich.count) == (2, 5)
    assert check(UC | 3 << 55, Origin("intel", mcg_cap=0x0A)).disposition == "uncorrected"


def test_deferred_is_never_corrected() -> None:
    one = check(1 << 44 | 0x0136, Origin("amd"))
    assert (one.disposition, one.severity, one.flags) == ("deferred", "nonfatal", ("deferred",))
    assert one.class_ == "ereport.cpu.amd.l2dcache_uc"


def test_a_scalable_bank_is_named_by_its_ipid() -> None:
    for row in BANK_TYPES:
        assert bank_type(row.mca_type << 48 | row.hardware_id << 32 | 0x1234) == row
    umc = 0x96 << 32
    assert check(0x011B, Origin("amd"), ipid=umc).class_ == "ereport.cpu.amd.nb.mem_ce"
    assert check(1 << 44 | 0x011B, Origin("amd"), ipid=umc).class_ == "ereport.cpu.amd.nb.mem_ue"
    assert check(1 << 16 | 0x011B, Origin("amd"), ipid=umc).class_ == "ereport.cpu.amd.mc"
    assert bank_type(0x7FFF << 48) is None


def test_model_specific_codes_are_read_on_the_models_that_have_them() -> None:
    nehalem, later = Origin("intel", 6, 0x1A), Origin("intel", 6, 0x55)
    assert check(0x0010_0091, nehalem).class_ == "ereport.cpu.intel.quickpath.mem_spare"
    assert check(0x0001_0091, nehalem).class_ == "ereport.cpu.intel.quickpath.mem_ce"
    assert check(UC | 0x0001_0091, nehalem).class_ == "ereport.cpu.intel.quickpath.mem_ue"
    assert check(0x0010_0091, later).class_ == "ereport.cpu.intel.mc"


def test_an_address_is_one_only_where_it_is_said_to_be_physical() -> None:
    origin = Origin("intel", mcg_cap=SER_P)
    assert physical_address(ADDRV | MISCV, 0x7F00_0FFF, 0x8C, origin) == (0x7F00_0000, 12)
    assert physical_address(ADDRV | MISCV, 0x7F00_0FFF, 0x4C, origin) is None
    assert physical_address(MISCV, 0x7F00_0FFF, 0x8C, origin) is None


def test_an_address_of_amd_is_physical_only_where_linux_takes_it_for_one() -> None:
    cecc, poison = 1 << 46, 1 << 43
    old, new = Origin("amd", 0x10), Origin("amd", 0x19)
    assert physical_address(ADDRV | cecc | 6 << 24, 0x7F00_0FFF, 0, new, bank=17) is None  # a memory controller's: within its channel
    assert physical_address(ADDRV | cecc, 0x7F00_0FFF, 0, Origin("amd"), scalable=True, bank=4) is None
    assert physical_address(ADDRV | poison | 6 << 24, 0x7F00_0FFF, 0, new, bank=0) == (0x7F00_0FC0, 6)
    assert physical_address(ADDRV | cecc, 0x7F00_0FFF, 0, old, bank=4) == (0x7F00_0FFF, 0)
    assert physical_address(ADDRV | poison, 0x7F00_0FFF, 0, old, bank=4) is None
    assert physical_address(ADDRV | cecc, 0x7F00_0FFF, 0, old, bank=2) is None


def test_tables_name_no_bit_twice() -> None:
    for row in mca.ROWS:
        used = 0
        for field in row.fields:
            assert field.lo <= field.hi < 64 and field.title and not used & field.mask, f"{row.key}.{field.key}"
            used |= field.mask
        assert len({field.key for field in row.fields}) == len(row.fields) and row.section


def test_msr_numbers() -> None:
    assert mca.bank_msr(5, mca.STATUS) == 0x415
    assert mca.bank_msr(5, mca.SMCA_IPID, scalable=True) == 0xC000_2055


def generated() -> str:
    rows = ["| code | manual | name | class behind `ereport.cpu.<vendor>.` |", "|---|---|---|---|"]
    for row in CODES:
        bits = f"`{row.value:#06x}`" if row.mask == 0xFFFF else f"`{pattern(row.mask, row.value)}`"
        rows.append(f"| {bits} | SDM {row.section} | {row.title} | {leaves(row.mask, row.value)} |")
    rows.append(f"| any other | SDM 15.9 | Reserved Error Code | {leaves(0xFFFF, 0x2000)} |")
    return "\n".join(rows)


def pattern(mask: int, value: int) -> str:
    return "".join(str(value >> bit & 1) if mask >> bit & 1 else ("F" if bit == 12 else "x") for bit in reversed(range(16)))


def leaves(mask: int, value: int) -> str:
    words = (word for word in range(1 << 13) if word & mask == value) if mask != 0xFFFF else iter((value,))
    codes = [error_code(word) for word in words]
    fitting = [code for code in codes if code.row.mask == mask or len(codes) == 1]
    found = {code.leaf_of(uncorrected=uncorrected) for code in fitting for uncorrected in (False, True)}
    return ", ".join(f"`{leaf}`" for leaf in sorted(found))


def test_the_document_lists_every_code_and_class(update_expected: bool) -> None:
    text = DOC.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    current = f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"
    if update_expected:
        DOC.write_text(current)
    assert DOC.read_text() == current, "docs/mca.md is old: run pytest tests/regs/test_mca.py --update-expected and read the diff"
    for unit in BANK_TYPES:
        assert f"`{unit.key}`" in current, f"docs/mca.md does not name the unit {unit.key}"


@pytest.mark.parametrize(
    ("ipid", "leaf"),
    [
        (0x0000_0241_1340_9200, "bus_interconnect"),  # a link between dies, never the core's L0 instruction cache
        (0x0001_00FF_0383_0400, "unknown"),
        (0x0000_0046_0000_0000, "io"),
        (0x0000_00B0_0000_0000, "l0icache"),
        (0x0007_00B0_0000_0000, "l0icache"),
    ],
)
def test_a_unit_without_caches_accuses_none(ipid: int, leaf: str) -> None:
    one = check(6 << 16 | 0x0150, Origin("amd", 0x19), ipid=ipid)
    assert one.class_ == f"ereport.cpu.amd.{leaf}"
    assert (one.title == "Cache Hierarchy Errors") is (leaf == "l0icache")


def test_a_bus_code_is_one_in_every_unit() -> None:
    assert check(UC | 0x0E0F, Origin("amd"), ipid=0x0001_00FF_0000_0000).class_ == "ereport.cpu.amd.bus_interconnect_uc"


def test_a_unit_may_be_told_by_name() -> None:
    one = MachineCheck(1 << 63 | 1 << 46 | 0x011B, Origin("amd", 0x19), 21, 0, unit_name="Unified Memory Controller")
    assert (one.class_, one.title) == ("ereport.cpu.amd.nb.mem_ce", "DRAM ECC Error")
