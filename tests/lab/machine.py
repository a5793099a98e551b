"""A machine: boots Linux, or Xen with a dom0, runs commands in it, injects errors, and is gone on every exit.

    with Machine(standard(), cmdline="pci=nomsi") as machine:
        machine.inject("ep1", "POISON_TLP", header=(0x40000001, 0xF, 0xFEE00000, 0xDEADBEEF))
        print(machine.check("lspci -vvv -s " + machine.address("ep1")))

QEMU dies with the process that started it (PR_SET_PDEATHSIG), so a machine is booted in the main thread.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Unpack, cast

from . import accelerator, command, initramfs, package
from .channel import Channel, Result
from .command import Boot, Options
from .error import LabError
from .monitor import Monitor, Value
from .topology import Topology
from .workspace import Workspace

BOOT_SECONDS = 240.0  # Xen with a dom0 takes 16 s of processor time under TCG; a crowded computer may be ten times slower
RUN_SECONDS = 120.0
TAIL = 4000  # characters of the console that an error shows


class Machine:
    """One virtual machine, from boot() to close(); also a context manager.

    *cmdline*, *xen*, *hypervisor*, *memory*, *processors*, *packages* and *extra* are described at command.Options.
    """

    def __init__(self, topology: Topology, **options: Unpack[Options]) -> None:
        self.topology = topology
        self._boot = Boot(topology, **options)
        self._stack = ExitStack()
        self._console = ""
        self._said = ""

    def __enter__(self) -> Machine:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def boot(self, seconds: float = BOOT_SECONDS) -> None:
        """Start the machine and wait until it takes commands. Unavailable if this computer cannot; LabError if it fails."""
        package.prepare()
        self.tree = package.tree(self._boot.packages)
        self.kernel, self.release = package.kernel(self.tree)
        self.accelerator = accelerator.choose(self.tree, self._boot)
        try:
            self._start()
            self._channel.ready(seconds)
        except BaseException as error:
            self.close()
            if isinstance(error, LabError):
                raise self._shown(error) from error
            raise

    def close(self) -> None:
        """Stop the machine, at once, and remove what it left on this computer. Harmless when repeated."""
        self._stack.close()

    @property
    def console(self) -> str:
        """All that kernel and hypervisor have said so far; still there after close()."""
        with suppress(OSError):
            self._console = self._workspace.console.read_text(errors="replace")
        return self._console

    @property
    def pid(self) -> int:
        """The process that is the machine: setpriv has become QEMU."""
        return self._process.pid

    @property
    def share(self) -> Path:
        """A directory here that the guest sees as /lab and may write: for captures, logs, and files for the guest."""
        return self._workspace.share

    def run(self, line: str, seconds: float = RUN_SECONDS) -> Result:
        """Run *line* by the guest's sh and return its status and output. LabError if it hangs or the machine dies.

        A program left in the background must have its output redirected.
        """
        try:
            return self._channel.call(line + "\n", seconds)
        except LabError as error:
            raise self._shown(error) from error

    def check(self, line: str, seconds: float = RUN_SECONDS) -> str:
        """Run *line* and return its standard output; LabError, with all that it said, if its status is not 0."""
        result = self.run(line, seconds)
        if result.status:
            raise LabError(f"status {result.status}: {line}\n{result.stdout}{result.stderr}")
        return result.stdout

    def qmp(self, request: str, **arguments: Value) -> Value:
        """Run one QMP command of QEMU and return what it returns; an underscore in a name stands for a hyphen."""
        return self._monitor.execute(request, **arguments)

    def hmp(self, line: str) -> str:
        """Run one line of QEMU's human monitor and return what it prints: `mce`, `info pci`, `device_del` and such."""
        return self._monitor.human(line)

    def inject(
        self,
        name: str,
        error: str | int,
        *,
        correctable: bool = False,
        advisory: bool = False,
        header: Sequence[int] = (),
        prefix: Sequence[int] = (),
    ) -> None:
        """Make the Function *name* log an AER error: a name that QEMU knows (lab.expect) or a raw status word.

        *header* and *prefix* are up to four dwords each for its Header Log. QEMU 7.2 stores them byte-swapped;
        real devices do not. LabError with QEMU's text if it refuses.
        """
        flags = ["-a"] * advisory + ["-c"] * correctable
        words = [*flags, name, error if isinstance(error, str) else f"{error:#x}", *(f"{word:#x}" for word in (*header, *prefix))]
        said = self.hmp(f"pcie_aer_inject_error {' '.join(words)}").strip()
        if not said.startswith("OK"):
            raise LabError(f"inject {' '.join(words)}: {said}")

    def address(self, name: str) -> str:
        """Return the address of the Function *name* as the guest has numbered the buses: "0000:01:00.0". KeyError if absent."""
        return self.addresses()[name]

    def addresses(self) -> dict[str, str]:
        """Return the address of every named Function, as address() does."""
        return _addresses(cast("list[Value]", self._monitor.execute("query-pci")))

    def setpci(self, name: str, *operations: str) -> str:
        """Run setpci on the Function *name* inside the guest: `ECAP_AER+4.l` reads, `3e.w=0002:0002` writes. Returns its output."""
        return self.check(f"setpci -s {self.address(name)} {' '.join(operations)}").strip()

    def power_cut(self) -> None:
        """Kill the machine as a power loss would; the shared directory stays until close()."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        stack = self._stack = ExitStack()
        self._workspace = Workspace()
        stack.callback(self._forget)
        shutil.copy(initramfs.GUEST / "agent.sh", self.share)
        image = initramfs.build(self.tree, self.release, self._workspace.path)
        (serial, far_serial), (monitor, far_monitor) = socket.socketpair(), socket.socketpair()
        self._channel = Channel(serial, self.share)
        stack.callback(self._channel.close)
        stack.callback(monitor.close)
        with far_serial, far_monitor:
            descriptors = (far_serial.fileno(), far_monitor.fileno())
            parts = (
                command.image(self.tree, self._boot, image),
                command.exports(self.tree, self.share),
                command.connections(self._workspace.console, *descriptors),
            )
            self._process = self._launch(command.full(self._boot, self.accelerator, *parts), descriptors)
        self._monitor = Monitor(monitor)
        stack.callback(self._monitor.close)

    def _launch(self, words: list[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        # setpriv asks the kernel to kill QEMU when this process ends, however it ends.
        log = self._stack.enter_context(self._workspace.log.open("wb"))
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=descriptors,
            start_new_session=True,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _forget(self) -> None:
        self._console = self.console
        with suppress(OSError):
            self._said = self._workspace.log.read_text(errors="replace")
        self._workspace.close()

    def _shown(self, error: LabError) -> LabError:
        return LabError(f"{error}\n--- QEMU ---\n{self._said[-TAIL:]}\n--- end of the console ---\n{self.console[-TAIL:]}")


def _addresses(buses: list[Value]) -> dict[str, str]:
    # query-pci nests: a bus has devices, and a bridge among them has the devices of the bus below it.
    found: dict[str, str] = {}
    todo = [device for bus in cast("list[dict[str, list[dict[str, Value]]]]", buses) for device in bus["devices"]]
    while todo:
        device = todo.pop()
        if device["qdev_id"]:
            found[str(device["qdev_id"])] = f"0000:{device['bus']:02x}:{device['slot']:02x}.{device['function']}"
        bridge = cast("dict[str, list[dict[str, Value]]]", device.get("pci_bridge", {}))
        todo.extend(bridge.get("devices", []))
    return found
