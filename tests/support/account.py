"""Accounts that every system has, for what only root can become."""

from __future__ import annotations

import pwd

_UNUSED = ("daemon", "bin", "games", "man", "mail", "sync", "lp")


def other() -> str:
    """The name of an account that is neither root nor the daemon's."""
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0 and entry.pw_gid != 0}
    return next(name for name in _UNUSED if name in entries)
