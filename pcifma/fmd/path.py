"""Where the daemon's files are. `--root DIR` moves all of them: configuration, log, socket and lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Files of one daemon, all below *root* (`/` on a host).

    The configuration is `config`, then every `*.yaml` of `config_dir` in the order of their names. `state` belongs to the
    daemon's user, `runtime` to root: the socket and the lock lie in it.
    """

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """The configuration file; it need not exist."""
        return self.root / "etc/pcifma/pcifma.yaml"

    @property
    def config_dir(self) -> Path:
        """Further configuration files, for packages and site management."""
        return self.root / "etc/pcifma/conf.d"

    @property
    def slots(self) -> Path:
        """What the site calls its slots, by product; it need not exist."""
        return self.root / "etc/pcifma/slots.yaml"

    @property
    def own(self) -> tuple[Path, ...]:
        """The directories that all of these are in."""
        return self.state, self.runtime, self.config_dir.parent

    @property
    def plugins(self) -> Path:
        """The site's plugin directory, one directory a plugin."""
        return self.root / "etc/pcifma/plugins"

    @property
    def state(self) -> Path:
        """What outlives a reboot: the log."""
        return self.root / "var/lib/pcifma"

    @property
    def log(self) -> Path:
        """The SQLite file of error log, fault log, cursors and checkpoints."""
        return self.state / "log.db"

    @property
    def runtime(self) -> Path:
        """What ends with the boot."""
        return self.root / "run/pcifma"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.runtime / "fmd.sock"

    @property
    def lock(self) -> Path:
        """Held by the running daemon; its text is the daemon's process id."""
        return self.runtime / "fmd.lock"

    @property
    def consent(self) -> Path:
        """Root's one-time consent to writing status bits back; there while `pcifma clear` waits."""
        return self.runtime / "consent"
