"""What stands in an ereport's fields: words and values that plugins use too, apart from the record itself, which needs msgspec."""

from __future__ import annotations

from typing import Literal

Severity = Literal["correctable", "nonfatal", "fatal", "advisory", "info"]
Trust = Literal["host", "guest"]
PayloadValue = int | str | bool | None | list[int | str]

FABRIC_CLASS = "ereport.io.pci.fabric"
UNREAD_CLASS = "ereport.pcifma.unread"
MODULE_CLASS = "ereport.pcifma.module"
