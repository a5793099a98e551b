"""A machine check's registers as people write them on a command line: `mci_status V mcg_cap V`, `MC5_STATUS=V`; and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pcifma.access.kernlog.report import BankText
from pcifma.cli.meaning import meaning
from pcifma.cli.severity import COLOURS, MARGIN, WORDS, line
from pcifma.errors import UsageError
from pcifma.event.ereport import Ereport
from pcifma.regs import mca
from pcifma.regs.mca_code import error_code
from pcifma.regs.smca import bank_type
from pcifma.regs.table import Register
from pcifma.regs.word import decode_word

# Members of the record by what people call their register; a bank's number may stand where the manuals have an i.
_NAMES = (
    (re.compile(r"(?:ia32_)?mc(?:i|a|\d{1,3})_status"), "status"),
    (re.compile(r"(?:ia32_)?mc(?:i|a|\d{1,3})_addr"), "addr"),
    (re.compile(r"(?:ia32_)?mc(?:i|a|\d{1,3})_misc0?"), "misc"),
    (re.compile(r"(?:ia32_)?mcg_?cap"), "mcgcap"),
    (re.compile(r"(?:ia32_)?mcg_?status"), "mcgstatus"),
    (re.compile(r"mca_ipid|ipid"), "ipid"),
    (re.compile(r"mca_synd|synd"), "synd"),
)
_KNOWN = "mci_status, mcg_cap, mcg_status, mci_addr, mci_misc, mca_ipid, mca_synd"
_BANK = re.compile(r"mc(\d{1,3})_")
_VALUE = re.compile(r"(?:0[xX])?[0-9a-fA-F_]{1,20}")
_VALID = 1 << 63
_INDENT = " " * MARGIN


@dataclass(frozen=True, slots=True)
class Bank:
    """The words that were given, by the tracepoint's names. *vendor*: as said, or as MCA_IPID proves; empty: taken to be Intel's."""

    words: Mapping[str, int]
    bank: int
    vendor: str

    @property
    def report(self) -> BankText:
        """The record that a kernel would have made."""
        fields = {name: f"{word:#x}" for name, word in self.words.items()}
        vendor = {"vendor": self.vendor} if self.vendor else {}
        return BankText(line=0, fields={"cpu": "0", "bank": str(self.bank), **fields, **vendor})

    @property
    def _is_io(self) -> bool:
        return error_code(self.words.get("status", 0) & 0xFFFF).row.kind == "io"

    def rows(self) -> Iterator[tuple[str, Register]]:
        """The row of each word."""
        amd = self.vendor == "amd"
        known = {
            "status": mca.status_of("amd" if amd else "intel", self.words.get("mcgcap")),
            "misc": mca.MISC_AMD if amd else mca.MISC_IO if self._is_io else mca.MISC_INTEL,
            "mcgcap": mca.MCG_CAP_ROW,
            "mcgstatus": mca.MCG_STATUS_ROW,
            "ipid": mca.IPID,
            "synd": mca.SYND,
        }
        yield from ((name, known[name]) for name in self.words if name in known)

    def fields(self) -> Iterator[tuple[Register, str]]:
        """What the words hold, field by field: `IA32_MCi_STATUS Valid`."""
        for name, row in self.rows():
            yield from ((row, f"{row.title} {_said(part.text, name)}") for part in decode_word(row, self.words[name]))


def _said(text: str, name: str) -> str:
    title, _, value = text.rpartition(" ")
    if name == "status" and title == "MCA Error Code":
        return f"{title} {int(value):#06x} {error_code(int(value)).name}"
    return text


def is_bank(tokens: Sequence[str]) -> bool:
    """True where *tokens* begin with a register of a machine check."""
    return bool(tokens) and _member(tokens[0].partition("=")[0]) is not None


def _member(token: str) -> str | None:
    return next((member for pattern, member in _NAMES if pattern.fullmatch(token.lower())), None)


def parse(tokens: Sequence[str], vendor: str | None) -> Bank:
    """The bank that *tokens* describe; UsageError says what is off and how it is written."""
    found: dict[str, int] = {}
    bank = 0
    left = [part for token in tokens for part in token.split("=", 1)]
    while left:
        token = left.pop(0)
        member = _member(token)
        if member is None:
            raise UsageError(
                f"{token!r} is no register of a machine check: mci_status, mcg_cap, mcg_status, mci_addr, mci_misc, mca_ipid, mca_synd"
            )
        if not left or not _VALUE.fullmatch(left[0]):
            raise UsageError(f"{token}: after it comes its value in hexadecimal, as 0x9c00000000010151")
        found[member] = int(left.pop(0).replace("_", ""), 16)
        if found[member] >> 64:
            raise UsageError(f"{token}: its value does not fit into 64 bits")
        named = _BANK.search(token.lower())
        bank = int(named[1]) if named else bank
    amd = "ipid" in found and bank_type(found["ipid"]) is not None
    return Bank(found, bank, vendor or ("amd" if amd else ""))


def sheet(bank: Bank, events: Sequence[Ereport]) -> Iterator[str]:
    """The lines for people."""
    for event in events:
        leaf, payload = event.class_.removeprefix("ereport."), event.payload
        yield line(WORDS[event.severity], f"{payload['name']}  {payload['disp']}  {leaf}", COLOURS.get(event.severity))
        if text := meaning(event.class_):
            yield f"{_INDENT}{text}"
        yield f"{_INDENT}{payload['compound_errorname']}  SDM {error_code(bank.words['status'] & 0xFFFF).row.section}"
        if "address" in payload:
            yield f"{_INDENT}at physical address 0x{payload['address']}, bits from {payload['address-lsb']} on"
        if "reporter" in payload:
            yield f"{_INDENT}reported by PCI Function {payload['reporter']}"
    if "status" in bank.words and not bank.words["status"] & _VALID:
        yield line("OK", "no error: its Valid bit (63) is clear, and then the rest means nothing")
    shown: Register | None = None
    for row, text in bank.fields():
        if row is not shown:
            yield f"{row.title}  {row.section}"
            shown = row
        yield f"  {text.removeprefix(f'{row.title} ')}"
    if "status" in bank.words and not bank.vendor:
        yield "read as Intel's; for AMD: --vendor amd" + (
            "" if "mcgcap" in bank.words else ". Without mcg_cap every field is taken to be there"
        )
