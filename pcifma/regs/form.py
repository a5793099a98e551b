"""Which registers a capability has, where its id alone does not say: a word of its own does (Message Control, Command, headers).

That word is fixed by the device, so it is read once, when the fabric is built; bits of it that software or errors change are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pcifma.regs import dvsec, ht, ide, msi
from pcifma.regs.ide import IDE
from pcifma.regs.msi import MSI
from pcifma.regs.table import Access

Word = Callable[[int, int], int]
"""The word at an offset from the capability, of that width in bytes."""


class Form(NamedTuple):
    """*name*: what the tables call the layout, empty where there is but one. *head*: the word that says which optional registers there
    are, its read-only bits. *blocks*: offsets, from the capability, of the status registers of repeated blocks.
    """

    name: str = ""
    head: int = 0
    blocks: tuple[int, ...] = ()


PLAIN = Form()


def form_of(capability: str, word: Word) -> Form:
    """The form of the capability with that setpci name; errors of *word* pass through."""
    read = FORMS.get(capability)
    return PLAIN if read is None else read(word)


_MSI_CONTROL = MSI["message_control"]
_MSI_FIXED = sum(field.mask for field in _MSI_CONTROL.fields if _MSI_CONTROL.access_of(field) is Access.RO)


def _msi(word: Word) -> Form:
    control = word(_MSI_CONTROL.offset, _MSI_CONTROL.width)
    return Form(msi.form(control), control & _MSI_FIXED)


def _ht(word: Word) -> Form:
    return Form(ht.form(word(2, 2)))


def _dvsec(word: Word) -> Form:
    return Form(dvsec.form(word(4, 4), word(8, 2)))


def _exp(word: Word) -> Form:
    return Form(head=word(2, 2))


def _dpc(word: Word) -> Form:
    return Form(head=word(4, 2))


def _ide(word: Word) -> Form:
    register = IDE["ide_capability"]
    capability = word(register.offset, register.width)
    return Form("", capability, tuple(ide.status_offsets(capability, lambda offset: word(offset, 4))))


FORMS = {"CAP_MSI": _msi, "CAP_HT": _ht, "CAP_EXP": _exp, "ECAP_DVSEC": _dvsec, "ECAP_DPC": _dpc, IDE.name: _ide}
