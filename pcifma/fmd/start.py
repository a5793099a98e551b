"""Starting the daemon: what only root can do first, then without rights for good.

configuration checked ─ directories ─ lock ─ control socket ─ keeper ─ privileges dropped ─ plugins checked ─ run
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from pcifma.access.clock import SimulatedClock, SystemClock
from pcifma.access.event_trace import AER_EVENT
from pcifma.access.open import open_live, open_source
from pcifma.access.seam import HYPERCALL, MCE_RECORD, ConfigSpace, Machine
from pcifma.access.sysfs import SysfsConfigs
from pcifma.access.uevent import STREAM as UEVENT
from pcifma.errors import DaemonError, PcifmaError
from pcifma.fmd import config as configuration
from pcifma.fmd import privilege
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.offspring import OFFSPRING
from pcifma.fmd.config import Config
from pcifma.fmd.control import Control
from pcifma.fmd.daemon import Daemon, Setup
from pcifma.fmd.deadline import GuardedConfigs, Readers
from pcifma.fmd.exclude import Excluding
from pcifma.fmd.facts import KeptHost, SitedHost
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.log.log import SWITCH_INTERVAL_S
from pcifma.fmd.loop import Loop
from pcifma.fmd.notify import Notify
from pcifma.fmd.pace import PacedClock
from pcifma.fmd.path import Paths
from pcifma.fmd.reload import Reload
from pcifma.fmd.roster import find, heeded, misconfigured
from pcifma.fmd.socket import Server, bind
from pcifma.regs.bdf import Bdf

_LIVE_SYS = Path("/sys")
_LOCK_MODE = 0o644
_STREAMS = (AER_EVENT.stream, UEVENT, MCE_RECORD, HYPERCALL)
_BANKS = "/msr/"
_LOADED_LATER = ("yaml", "pcifma.platform.survey", "pcifma.fmd.exhibit", "encodings.idna", "encodings.ascii", "stringprep", "inspect")
# What built-in plugins load when they are configured.
_LOADED_FOR = {"prometheus": ("ipaddress", "prometheus_client", "prometheus_client.openmetrics.exposition")}


class Order(msgspec.Struct, frozen=True):
    """What the command line asked for. *source*: as in contract 3, None for this machine."""

    root: str = "/"
    config: str | None = None
    source: str | None = None


def say(text: str) -> None:
    """One line for whoever watches standard error: the journal, or a terminal."""
    with contextlib.suppress(OSError):
        print(f"pcifma fmd: {_plain(text)}", file=sys.stderr, flush=True)


def _plain(text: str) -> str:
    # Names of plugins, devices and files are somebody else's text.
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def main(order: str, nursery: Nursery) -> int:
    """Run a daemon until it is stopped: 0; 2 if it cannot start."""
    try:
        run(msgspec.json.decode(order, type=Order), nursery)
    except PcifmaError as err:
        for line in str(err).splitlines():
            say(line)
        return 2
    return 0


def run(order: Order, nursery: Nursery) -> None:
    """Start, run, stop. PcifmaError if it cannot start."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload; the configuration is about to be read
    paths = Paths(Path(order.root))
    config = configuration.read(paths, None if order.config is None else Path(order.config))
    trusted = frozenset({0} if os.geteuid() == 0 else {0, os.geteuid()})
    who = settle_user(config, paths)
    with lock(paths.runtime / paths.lock.name), control_socket(paths, who) as sock:
        machine = machine_of(order.source)
        machine = machine.but(host=SitedHost(machine.host, config.slots))
        keeper = keeper_for(machine, order.source, config, paths)
        retirer = retirer_for(machine, order.source, config, paths)
        listen(machine, config)
        children = privilege.plugins_identity(config.text("child.user"), who, chosen=config.is_set("child.user"))
        if children.uid != 0:  # else there is nobody else on this system, and that is noted
            nursery.settle(children.uid, children.gid, load=not finds_library(children))
        preload(who, config)
        privilege.drop(who)
        os.umask(0o027)
        configuration.fail(misconfigured(config, paths, find(config, paths, trusted=trusted)))
        machine, readers, exclude = guarded(machine, order.source, config, keeper)
        announce(config, machine, keeper)
        file = None if order.config is None else Path(order.config)
        serve(Setup(config, paths, machine, keeper, readers, trusted, nursery, file, retirer, children), sock, exclude)


def settle_user(config: Config, paths: Paths) -> privilege.Identity:
    """Who the daemon runs as, with its directories made. A default user that cannot get at them is given up, and that is said."""
    chosen = config.is_set("user")
    who = privilege.identity(config.text("user"), config.text("group"), chosen=chosen)
    trouble = privilege.prepare(paths, who)
    if trouble:
        say(f"{trouble}: going on without; free or repair the storage")
    how = os.R_OK | os.X_OK | (0 if trouble else os.W_OK)
    if not who.is_current and paths.state.exists() and not privilege.reachable(paths.state, who, how):
        reason = f"uid {who.uid} cannot get at {paths.state}: make its parents searchable (chmod o+x)"
        if chosen:
            raise DaemonError(f"{reason}, or name another user")
        say(f"running as root: {reason}")
        who = privilege.Identity(0, 0)
        privilege.prepare(paths, who)
    elif who.note:
        say(who.note)
    return who


def finds_library(who: privilege.Identity) -> bool:
    """True if *who* can get at the interpreter's library."""
    return who.is_current or privilege.reachable(Path(os.__file__).parent, who, os.R_OK | os.X_OK)


def preload(who: privilege.Identity, config: Config) -> None:
    """Load what is otherwise loaded when it is needed, if *who* cannot get at the interpreter's library."""
    if finds_library(who):
        return
    for name in _LOADED_LATER:
        importlib.import_module(name)
    for module in config.modules:
        for name in _LOADED_FOR.get(module, ()):
            with contextlib.suppress(ImportError):  # the plugin itself says what is missing
                importlib.import_module(name)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of this root; DaemonError if another daemon does."""
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_MODE)
    except OSError as err:
        raise DaemonError(f"{path}: the lock cannot be made: {err.strerror}") from err
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            raise DaemonError(f"{path}: another pcifma fmd (process {holder}) runs here: stop it, or give another --root") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def control_socket(paths: Paths, who: privilege.Identity) -> Iterator[socket.socket]:
    """The listening control socket; its file goes when the daemon does, where it may."""
    sock = bind(paths.socket, gid=who.gid if os.geteuid() == 0 else None)
    try:
        yield sock
    finally:
        sock.close()
        with contextlib.suppress(OSError):
            paths.socket.unlink()


def machine_of(source: str | None) -> Machine:
    """The machine to look at; a recording runs at the speed of real time."""
    machine = open_live(udev=False) if source is None else open_source(source)
    for complaint in machine.complaints:
        say(complaint)
    if isinstance(machine.clock, SimulatedClock):
        return machine.but(clock=PacedClock(machine.clock))
    return machine


def listen(machine: Machine, config: Config) -> None:
    """Open the kernel's streams, and the banks that may be read, while that is still allowed. What cannot be opened is silent, and
    `coverage` says what that costs.
    """
    if machine.kind == "live" and os.geteuid() == 0:
        for stream in heeded(_STREAMS, config):
            for _ in machine.host.stream(stream):
                pass
        for cpu in machine.host.entries(_BANKS):
            machine.host.read(f"{_BANKS}{cpu}")


def keeper_for(machine: Machine, source: str | None, config: Config, paths: Paths) -> KeeperClient | None:
    """A keeper, where there is a sysfs to keep and we are root."""
    if machine.kind not in ("live", "sysfs") or os.geteuid() != 0:
        return None
    paths.consent.unlink(missing_ok=True)  # of a command that was killed
    sys_root = _LIVE_SYS if source is None else Path(source).resolve()
    keeper = KeeperClient.start(sys_root, clear=config.flag("clear"), consent=paths.consent.absolute())
    OFFSPRING.keep(keeper.pid)
    return keeper


def retirer_for(machine: Machine, source: str | None, config: Config, paths: Paths) -> KeeperClient | None:
    """A keeper for responses alone, where the operator allows any and we are root."""
    retire = config.texts("retire")
    if not retire or machine.kind != "live" or source is not None or os.geteuid() != 0:
        return None
    keeper = KeeperClient.start(_LIVE_SYS, clear=False, consent=paths.consent.absolute(), retire=retire)
    OFFSPRING.keep(keeper.pid)
    return keeper


def guarded(
    machine: Machine, source: str | None, config: Config, keeper: KeeperClient | None
) -> tuple[Machine, Readers | None, Excluding | None]:
    """*machine* read through the keeper's descriptors, with deadlines, and without what the operator excludes."""
    if machine.kind not in ("live", "sysfs"):
        return machine, None, None
    readers = Readers(config.number("poll.deadline"))
    host = machine.host if keeper is None else KeptHost(machine.host, keeper)
    configs: Mapping[Bdf, ConfigSpace] = machine.configs
    if keeper is not None:
        configs = SysfsConfigs(_LIVE_SYS if source is None else Path(source), opener=opener(keeper))
    exclude = Excluding(configs, config.texts("poll.exclude"), host)
    return machine.but(configs=GuardedConfigs(exclude, readers), host=host), readers, exclude


def opener(keeper: KeeperClient) -> Callable[[str], int]:
    """Opens the `config` file at a path by asking *keeper* for its Function."""
    return lambda path: keeper.open(Bdf.parse(path.split("/")[-2]))


def announce(config: Config, machine: Machine, keeper: KeeperClient | None) -> None:
    """Say what this daemon cannot do."""
    if machine.kind in ("live", "sysfs") and keeper is None:
        say(f"running as uid {os.geteuid()}, not root: only 64 bytes of each Function can be read, and nothing is written back")
    if config.texts("retire") and keeper is None:
        say("retire has no effect: only a daemon started by root, for this machine, takes parts out of service")
    if config.flag("clear") and keeper is None and machine.kind != "fixture":
        say("clear: true has no effect: only a daemon started by root writes status bits back")


def serve(setup: Setup, sock: socket.socket, exclude: Excluding | None) -> None:
    """Run the daemon with its control socket."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = Loop(setup.machine.clock)
    daemon = Daemon(setup, loop, say=say, notify=Notify.from_environment())
    server = Server(
        loop, sock, Control(daemon).verbs(), clients=int(setup.config.number("socket.clients")), audit=daemon.audit,
        now_ns=SystemClock().boot_ns,
    )  # fmt: skip
    daemon.each_while.append(server.sweep)
    daemon.reload = Reload(daemon, server, exclude)
    try:
        daemon.run()
    finally:
        server.close()
        loop.close()
        if setup.keeper is not None:
            setup.keeper.close()
