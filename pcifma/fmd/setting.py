"""What can be configured: one row a setting. docs/configuration.md says the same, and a test holds it to this table."""

from __future__ import annotations

from dataclasses import dataclass

from pcifma.plugin.manifest import PropertyType
from pcifma.plugin.module import PropertyValue


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its *type* and *default* as a configuration file writes them; *low* and *high* bound numbers, in base units."""

    type: PropertyType
    default: bool | int | float | str | tuple[str, ...]
    about: str
    low: float | None = None
    high: float | None = None


# Dotted as in `poll.interval`. Sizes in bytes, times in seconds once read.
SETTINGS: dict[str, Setting] = {
    "user": Setting("string", "pcifma", "who the daemon runs as when root starts it"),
    "group": Setting("string", "pcifma", "whose members may read over the control socket, and the log"),
    "clear": Setting("bool", False, "write logged status bits back where nobody owns them (owner none)"),
    "retire": Setting("list", (), "what response agents may take out of service: cpu, page, io; each agent must be switched on as well"),
    "probation": Setting("time", "24h", "a repaired case is watched so long before it is resolved; a new one there says so", 0),
    "poll.registers": Setting("bool", True, "look at the registers by the clock; off: only at first, and where the kernel's records point"),
    "poll.interval": Setting("time", "1s", "between two looks at the registers that tell of every error", 0.05, 3600),
    "poll.slow_interval": Setting("time", "30s", "between two looks at everything else that is watched", 0.05, 86400),
    "poll.deadline": Setting("time", "100ms", "a read that takes longer makes its Function busy", 0.005, 60),
    "poll.exclude": Setting("list", (), "Functions never read: addresses (0000:04:00.0) or vendor:device (10de:2330)"),
    "log.size": Setting("size", "32MiB", "the log is kept below this: old ereports are folded, then those that no case needs go", 4 << 20),
    "log.faults": Setting("size", "8MiB", "list events of resolved cases are kept up to this", 1 << 16),
    "log.cases": Setting("int", 1000, "resolved cases are kept up to this number", 1),
    "plugins.directories": Setting("list", (), "further plugin directories, beside <root>/etc/pcifma/plugins"),
    "plugins.entry_points": Setting("bool", True, "load plugins that other Python distributions registered"),
    "plugins.disable": Setting("list", (), "names of plugins that are not loaded"),
    "child.memory": Setting("size", "256MiB", "what one third-party plugin may allocate", 64 << 20),
    "child.user": Setting("string", "pcifma-plugin", "who third-party plugins run as when root starts the daemon"),
    "child.deadline": Setting("time", "500ms", "a call into a third-party plugin that takes longer ends it", 0.01, 60),
    "xpv.listen": Setting("bool", False, "in a Xen dom0: probe privcmd, and report hypercalls that fail or take long"),
    "socket.clients": Setting("int", 32, "connections to the control socket at one time", 1, 1024),
}


def default_of(name: str) -> PropertyValue:
    """The typed default of the setting *name*; KeyError for an unknown one."""
    from pcifma.fmd.property import typed  # noqa: PLC0415 - keeps this table importable by itself

    setting = SETTINGS[name]
    raw = list(setting.default) if isinstance(setting.default, tuple) else setting.default
    return typed(setting.type, raw)
