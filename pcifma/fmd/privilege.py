"""From root to the daemon's own user, for good. What only root may do is done before, or by the keeper.

Files: `state` belongs to the daemon (0750), `runtime` to root; group members may read.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from pcifma.errors import ConfigError
from pcifma.fmd.path import Paths

_STATE_MODE, _RUNTIME_MODE = 0o750, 0o755
_FALLBACK = "nobody"
_NAMELESS = 65533  # beside nobody, and beyond what systems give to accounts
_STORAGE = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the daemon is to run as. *note*: what an operator should know about that, or empty."""

    uid: int
    gid: int
    note: str = ""

    @property
    def is_current(self) -> bool:
        """Nothing changes: it runs as that already."""
        return self.uid == os.geteuid()


def identity(user: str, group: str, *, chosen: bool) -> Identity:
    """The user *user* with the group *group*. A default (not *chosen*) user that does not exist is replaced; ConfigError otherwise.

    Without root it is whoever started the daemon.
    """
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid(), "")
    try:
        entry, note = pwd.getpwnam(user), ""
    except KeyError:
        if chosen:
            raise ConfigError(f"$.user: there is no user {user}: make one with `useradd --system {user}`, or name another") from None
        note = f"there is no user {user}: running as {_FALLBACK}; make one with `useradd --system {user}`"
        entry = pwd.getpwnam(_FALLBACK)
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        gid = entry.pw_gid
    return Identity(entry.pw_uid, gid, note)


def plugins_identity(user: str, who: Identity, *, chosen: bool) -> Identity:
    """The user *user* that third-party plugins run as beside a daemon that runs as *who*. `note`: why it can be no other, or not that one.

    ConfigError for a *chosen* one that does not exist, or that keeps nothing apart; a default is replaced.
    """
    if os.geteuid() != 0:
        return Identity(who.uid, who.gid, "only a daemon started by root can give plugins a user of their own")
    remedy = f"make one with `useradd --system --user-group {user}`"
    note = f"there is no user {user}: {remedy}"
    for name in (user,) if chosen else (user, _FALLBACK):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        trouble = _unfit(entry, who)
        if not trouble:
            return Identity(entry.pw_uid, entry.pw_gid, "" if name == user else note)
        if chosen:
            raise ConfigError(f"$.child.user: {user} {trouble}: name another")
    if chosen:
        raise ConfigError(f"$.child.user: {note}, or name another")
    return _nameless(who, note)


def _unfit(entry: pwd.struct_passwd, who: Identity) -> str:
    if entry.pw_uid == 0:
        return "is root"
    if entry.pw_uid == who.uid:
        return "is the daemon's own user"
    # Members of the daemon's group read the log and the control socket.
    return "has the daemon's group" if entry.pw_gid in (0, who.gid) else ""


# A number that no account has, where the system, or the container, lets a process have it.
def _nameless(who: Identity, note: str) -> Identity:
    number = next(n for n in range(_NAMELESS, 0, -1) if not _is_taken(n))
    nameless = Identity(number, number, note)
    if reachable(Path("/"), nameless, os.X_OK):
        return nameless
    return Identity(who.uid, who.gid, f"{note}; until then plugins share the daemon's")


def _is_taken(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return any(entry.gr_gid == number for entry in grp.getgrall())
    return True


def prepare(paths: Paths, who: Identity) -> str:
    """Make the directories, owned as they have to be; ConfigError where that cannot be done.

    Storage that takes no change now (read-only, full, failing) is what a daemon waits for: what it says of `state` is returned.
    """
    trouble = ""
    for directory, mode, uid in ((paths.state, _STATE_MODE, who.uid), (paths.runtime, _RUNTIME_MODE, os.geteuid())):
        try:
            directory.mkdir(mode=mode, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(directory, uid, who.gid)
                directory.chmod(mode)
                if directory == paths.state:
                    _hand_over(directory, who)
        except OSError as err:
            if directory != paths.state or err.errno not in _STORAGE:
                raise ConfigError(f"{directory}: cannot be made: {err.strerror}: make it, or give another --root") from err
            trouble = f"{directory}: {err.strerror}"
    return trouble


# At each start systemd gives all that lies in a StateDirectory= to root, where the unit names no user.
def _hand_over(directory: Path, who: Identity) -> None:
    for path in directory.iterdir():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # a link, or no file: not the daemon's
        try:
            status = os.fstat(fd)
            # Who may write the directory may also have put another name of somebody else's file there.
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid != who.uid:
                os.fchown(fd, who.uid, who.gid)
        finally:
            os.close(fd)


def reachable(directory: Path, who: Identity, how: int = os.R_OK | os.W_OK | os.X_OK) -> bool:
    """True if *who* could use *directory* like that: asked of the kernel, by a process that has become *who*."""
    pid = os.fork()
    if pid == 0:
        try:
            drop(who)
            os._exit(0 if os.access(directory, how) else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def drop(who: Identity) -> None:
    """Become *who*, with no supplementary groups and no way back."""
    if who.is_current:
        return
    os.setgroups([])
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
