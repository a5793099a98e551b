"""Names that outlive a look: detector (dev scheme), resource (hc scheme), and the target identity behind each uuid.

Contracts 1.2 and 1.4.
"""

from __future__ import annotations

from pcifma.fabric.fabric import ROOT_PORT, Fabric
from pcifma.fabric.function import Function
from pcifma.regs.bdf import Bdf


def detector(fabric: Fabric, function: Function) -> dict[str, str]:
    """The dev FMRI of *function*: its sysfs path without /sys; a capture's is made from the tree, as the kernel would."""
    return {"scheme": "dev", "device-path": function.sysfs or device_path(fabric, function)}


def device_path(fabric: Fabric, function: Function) -> str:
    """The path that sysfs gives *function* below a host bridge without a device of its own (`/devices/pci0000:00/…`)."""
    path = fabric.path(function)
    return "/".join([root_path(path[0].bdf), *(str(f.bdf) for f in path)])


def root_path(bdf: Bdf) -> str:
    """The path that sysfs gives the host bridge above *bdf*, a Function on a root bus."""
    return f"/devices/pci{bdf.segment:04x}:{bdf.bus:02x}"


def hc(fabric: Fabric, function: Function) -> str:
    """The hc FMRI of *function*, from its host bridge down."""
    path = fabric.path(function)
    top = path[0].bdf
    parts = [f"hostbridge={top.segment:04x}-{top.bus:02x}"]
    express = False
    for step in path:
        express = express or step.dev_type is not None
        parts.append(_step(step, express))
    return "hc:///" + "/".join(parts)


def identity(fabric: Fabric, function: Function) -> str:
    """What *function* is and where it sits, without bus numbers below its root bus: they move when cards come and go."""
    path = fabric.path(function)
    top = path[0].bdf
    slot = function.slot.number if function.slot else None
    ids = (function.vendor, function.device, function.subsystem_vendor, function.subsystem_device)
    return "/".join(
        [
            f"{top.segment:04x}-{top.bus:02x}",
            *(f"{f.bdf.device:02x}.{f.bdf.function}" for f in path),
            str(slot or "-"),
            ":".join(f"{number:04x}" for number in ids),
            function.serial or "-",
        ]
    )


def _step(function: Function, express: bool) -> str:
    bdf = function.bdf
    if function.dev_type == ROOT_PORT:
        return f"pciexrc={bdf.devfn:02x}"
    kind = "pciex" if express else "pci"
    return f"{kind}bus={bdf.bus:02x}/{kind}dev={bdf.device}/{kind}fn={bdf.function}"
