"""Severities in words and colours, and the short names that people know registers by: the same in every sheet."""

from __future__ import annotations

import os

import click

ORDER = ("fatal", "nonfatal", "advisory", "correctable", "info")
WORDS = {"fatal": "FATAL", "nonfatal": "NONFATAL", "advisory": "ADVISORY", "correctable": "CORR", "info": "info"}
COLOURS = {"fatal": "red", "nonfatal": "red", "advisory": "yellow", "correctable": "yellow"}
SHORT_NAMES = {
    "6.w": "Status",
    "1e.w": "SecStatus",
    "3e.w": "BridgeCtl",
    "CAP_EXP+a.w": "DevSta",
    "ECAP_AER+4.l": "UESta",
    "ECAP_AER+10.l": "CESta",
    "ECAP_AER+30.l": "RootSta",
}
MARGIN = 9


def line(word: str, text: str, colour: str | None = None) -> str:
    """*text* behind *word* in the margin; only the word is coloured."""
    return coloured(f"{word:<{MARGIN}}", colour) + text


def coloured(text: str, colour: str | None) -> str:
    """*text* in *colour*, unless the user wants none (no-color.org) or the terminal has none; off a terminal click.echo takes it out."""
    if colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour)
