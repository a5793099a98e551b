"""The one tree of errors. Each class has a tag, so that it is counted, printed and posted as `ereport.pcifma.<tag>`.

The message of an error is one line for the operator: what, where (file and line where there is one), and the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class PcifmaError(Exception):
    """Any failure that pcifma can name. The command line prints it on one line and exits 2."""

    tag: ClassVar[str] = "error"


class UsageError(PcifmaError):
    """The words of a command are off."""

    tag = "usage"


class SourceError(PcifmaError):
    """A SOURCE (capture, fixture, sysfs root, recording) cannot be used as such."""

    tag = "source"


class FormatError(SourceError):
    """Text or data that does not follow its format; the message starts with `file:line:` or `file: $.path:`."""

    tag = "format"


class ReadError(PcifmaError):
    """Bytes of configuration space that could not be read; never replaced by 0xff."""

    tag = "read"


class ShortReadError(ReadError):
    """Fewer bytes came back than asked for: end of what this reader may see (64 bytes without privilege)."""

    tag = "short"


class GoneError(ReadError):
    """The Function is no longer there."""

    tag = "gone"


class BusyError(ReadError):
    """The read did not come back within its deadline."""

    tag = "busy"


class SlowError(BusyError):
    """The Function is left alone for now: its reads take too long."""

    tag = "slow"


class ExcludedError(BusyError):
    """The operator wants the Function left alone."""

    tag = "excluded"


class WriteRefusedError(PcifmaError):
    """A register write that the owner, the ack table or the kernel does not allow; the message says which."""

    tag = "refused"


class PluginError(PcifmaError):
    """A plugin that cannot be registered, or that failed."""

    tag = "module"


class ConfigError(PcifmaError):
    """Mistakes in configuration or rule files, all of them, a line each: `file: $.path: what and remedy`."""

    tag = "config"


class LogError(PcifmaError):
    """The event log cannot be opened, read or written."""

    tag = "log"


class LogUnavailableError(LogError):
    """Storage does not take the log now (full, read-only, I/O error); worth trying again."""


class LogBusyError(LogError):
    """The log's queue is full because storage is not taking it; what was handed over was not kept, see it again later."""


class DaemonError(PcifmaError):
    """The daemon cannot be reached, or refused."""

    tag = "daemon"
