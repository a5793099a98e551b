"""Taking a part out of service, and giving it back: a processor, a page of memory, a Function. The only writes besides ack.

Everything is found and judged again here, from the kernel's own files; of what the daemon says only the part's name is believed.
Standard library only, as all of the keeper. A refusal says which rule it was.

    processor   the kernel's, or under Xen the physical one (what xen-hptool does); never the first, never the last
    page        soft offline, or under Xen the page-offline hypercall: a page that somebody owns stays pending until its owner lets go
    Function    its driver is unbound, and none binds again; never a bridge, a guest's, the disks' in use, the console's, the route's
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from pcifma.fmd.keeper import xen_page
from pcifma.fmd.keeper.owner import guest
from pcifma.fmd.keeper.vital import vital
from pcifma.regs.bdf import Bdf

RETIRE, RESTORE, RETIRE_HARD = 0, 1, 2
_NO_DRIVER = "pcifma-retired"  # an override that no driver has
_PAGE_SHIFT = 12


class RetireError(Exception):
    """Why nothing was done; one line."""


class Retirer:
    """Acts on the machine whose files are below *sys*, *proc* and *dev*."""

    def __init__(self, sys: Path, proc: Path = Path("/proc"), dev: Path = Path("/dev")) -> None:
        self._sys, self._proc, self._dev = sys, proc, dev

    # Processors.

    def cpu(self, number: int, how: int) -> str:
        """Take processor *number* offline, or online again; what was done."""
        xen = self._is_dom0()
        directory = self._sys / ("devices/system/xen_cpu" if xen else "devices/system/cpu")
        name = f"{'xen_cpu' if xen else 'cpu'}{number}"
        switch = directory / name / "online"
        if self._is_guest():
            raise RetireError("a guest: its processors are the hypervisor's")
        if number == 0 or not switch.exists():
            raise RetireError(f"{name} cannot be taken offline: it is not there, or the one that everything needs")
        if how == RESTORE:
            return self._switch(switch, "1", name)
        online = [path for path in directory.glob(f"{name.rstrip('0123456789')}[0-9]*") if _word(path / "online") != "0"]
        if _word(switch) == "0":
            return f"{name} is offline already"
        if len(online) < 2:
            raise RetireError(f"{name} is the last that is online")
        return self._switch(switch, "0", name)

    def _switch(self, switch: Path, value: str, name: str) -> str:
        if _word(switch) != value:
            _write(switch, value)
        if _word(switch) != value:
            raise RetireError(f"{name}: the kernel took the word, and did nothing")
        return f"{name} is {'online' if value == '1' else 'offline'}"

    # Pages.

    def page(self, frame: int, how: int) -> str:
        """Take the page of *frame* offline, or give it back; what was done."""
        if self._is_dom0():
            return xen_page.act(frame, restore=how == RESTORE, sys=self._sys, dev=self._dev)
        if self._is_guest():
            raise RetireError("a guest: its memory is the hypervisor's")
        if not self._is_memory(frame):
            raise RetireError(f"frame {frame:#x} is no memory of this machine")
        if how == RESTORE:
            return self._unpoison(frame)
        name = "hard_offline_page" if how == RETIRE_HARD else "soft_offline_page"
        _write(self._sys / "devices/system/memory" / name, f"{frame << _PAGE_SHIFT:#x}")
        return f"frame {frame:#x} is offline ({name.partition('_')[0]})"

    def _unpoison(self, frame: int) -> str:
        place = self._sys / "kernel/debug/hwpoison/unpoison-pfn"
        if not place.exists():
            raise RetireError(f"frame {frame:#x} stays offline until the next boot: giving it back needs the module hwpoison-inject")
        _write(place, f"{frame:#x}")
        return f"frame {frame:#x} is given back"

    def _is_memory(self, frame: int) -> bool:
        address = frame << _PAGE_SHIFT
        for line in _text(self._proc / "iomem").splitlines():
            place, _, what = line.partition(" : ")
            first, _, last = place.strip().partition("-")
            if what == "System RAM" and not line.startswith(" ") and int(first, 16) <= address <= int(last, 16):
                return True
        return False

    # Functions.

    def function(self, bdf: Bdf, how: int) -> str:
        """Unbind the driver of *bdf* and let none bind again, or give it back; what was done."""
        device = self._sys / "bus/pci/devices" / str(bdf)
        if not device.exists():
            raise RetireError(f"{bdf} is not there")
        if how == RESTORE:
            return self._rebind(device, bdf)
        self._may_go(device, bdf)
        driver = device / "driver"
        name = os.path.basename(os.readlink(driver)) if driver.is_symlink() else ""  # noqa: PTH115,PTH119 - the link's own text
        _write(device / "driver_override", _NO_DRIVER)
        if name:
            _write(driver / "unbind", str(bdf))
        if driver.is_symlink():
            _write(device / "driver_override", "\n")
            raise RetireError(f"{bdf}: {name} did not let go")
        return f"{bdf} is unbound from {name or 'no driver'}"

    def _may_go(self, device: Path, bdf: Bdf) -> None:
        if self._is_guest():
            raise RetireError("a guest: what it was given is the host's to take away")
        kind = int(_word(device / "class") or "0", 16)
        if kind >> 16 == 0x06 or (device / "secondary_bus_number").exists():
            raise RetireError(f"{bdf} is a bridge: what is below it would go as well")
        if owner := guest(self._sys, bdf):
            raise RetireError(f"{bdf}: {owner}: detach it from its guest")
        if why := vital(self._sys, self._proc).get(str(bdf), ""):
            raise RetireError(f"{bdf} is needed: {why}")
        if not (device / "driver_override").exists():
            raise RetireError(f"{bdf}: this kernel has no driver_override, so a driver would bind again")

    def _rebind(self, device: Path, bdf: Bdf) -> str:
        if _word(device / "driver_override") != _NO_DRIVER:
            raise RetireError(f"{bdf} was not retired by pcifma")
        _write(device / "driver_override", "\n")
        _write(self._sys / "bus/pci/drivers_probe", str(bdf))
        bound = (device / "driver").is_symlink()
        return f"{bdf} is {'bound again' if bound else 'free; no driver has taken it'}"

    # Whose machine.

    def _is_dom0(self) -> bool:
        return _word(self._sys / "hypervisor/type") == "xen" and "control_d" in _text(self._proc / "xen/capabilities")

    def _is_guest(self) -> bool:
        # A dom0's processor shows a hypervisor too, and it is the one that may act.
        flags = next((line for line in _text(self._proc / "cpuinfo").splitlines() if line.startswith("flags")), "")
        return " hypervisor" in flags and not self._is_dom0()


def act(call: Callable[[], str]) -> tuple[bool, str]:
    """Do *call*: whether it was done, and what, or why not."""
    try:
        return True, call()
    except (RetireError, xen_page.PageError) as err:
        return False, str(err)
    except OSError as err:
        return False, f"{err.filename or 'kernel'}: {errno.errorcode.get(err.errno or 0, '')} {err.strerror}"


def _word(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as err:
        err.filename = str(path)
        raise
    finally:
        os.close(fd)
