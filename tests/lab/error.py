"""Errors of the laboratory: a machine that cannot be had here, and a machine that failed."""

from __future__ import annotations


class Unavailable(Exception):
    """This computer cannot host the laboratory; the text is the plain reason, fit for a skip line."""


class LabError(Exception):
    """A machine or one of its parts failed; the text carries the tail of the console where there is one."""
