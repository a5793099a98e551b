"""Where a symptom is seen, from the part at fault: relations on the fabric."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import Bdf, DevType, Fabric, Function


def role(function: Function) -> str:
    """The role of *function* in the rules' words."""
    if function.dev_type is None:
        return "pci"
    try:
        return DevType(function.dev_type).name.lower()
    except ValueError:
        return "any"


def related(fabric: Fabric, function: Function, at: str) -> set[str]:
    """The addresses that stand in relation *at* to *function*."""
    if at == "self":
        return {str(function.bdf)}
    if at == "partner":
        found: Iterable[Function | None] = (fabric.parent(function),)
    elif at == "above":
        found = fabric.path(function)[:-1]
    elif at == "root":
        found = (fabric.root_port(function),)
    else:
        found = below(fabric, function)
    return {str(f.bdf) for f in found if f is not None and f.bdf != function.bdf}


def below(fabric: Fabric, function: Function) -> list[Function]:
    """Every Function below *function*, at any depth."""
    found: list[Function] = []
    todo = list(fabric.children(function))
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(fabric.children(one))
    return found


def home(fabric: Fabric, device: str) -> str:
    """The name of the part of the fabric that *device* shares errors with: its Root Port, or else its root bus."""
    function = find(fabric, device)
    if function is None:
        return device
    top = fabric.path(function)[0]
    return str(top.bdf) if fabric.children(top) else f"{top.bdf.segment:04x}:{top.bdf.bus:02x}"


def members(fabric: Fabric, device: str) -> list[Function]:
    """Every Function of the part of the fabric that *device* is in: suspects are looked for among these."""
    function = find(fabric, device)
    if function is None:
        return []
    top = fabric.path(function)[0]
    return [top, *below(fabric, top)]


def find(fabric: Fabric, device: str) -> Function | None:
    """The Function with that address, or None."""
    try:
        return fabric.get(Bdf.parse(device))
    except ValueError:
        return None
