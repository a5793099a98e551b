"""The fabric drawn as a tree, one for each host bridge. VFs are folded under their PF."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pcifma.cli.name import names
from pcifma.cli.text import clean, plural
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function, Slot
from pcifma.platform.survey import type_of
from pcifma.regs.bdf import Bdf

_SHOWN_ERRORS = 3
_WIDE = 400  # where there is no terminal nothing is cut


def draw(fabric: Fabric, name: str, errors: Mapping[str, list[str]], console: Console | None = None) -> None:
    """Print the trees of *fabric*; *errors* are classes of latched errors by address."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    named = names(fabric)
    console.print(Text(f"{clean(name)}  {plural(fabric.functions, 'Function')}  fabric {fabric.id}"))
    buses: dict[tuple[int, int], list[Function]] = {}
    for root in fabric.roots():
        buses.setdefault((root.bdf.segment, root.bdf.bus), []).append(root)
    for (segment, bus), roots in buses.items():
        tree = Tree(Text(f"host bridge {segment:04x}:{bus:02x}{_behind(roots[0])}"))
        for root in roots:
            _grow(tree, fabric, root, named, errors)
        console.print(tree)


def _grow(tree: Tree, fabric: Fabric, function: Function, named: dict[tuple[int, int], str], errors: Mapping[str, list[str]]) -> None:
    branch = tree.add(_text(function, named, errors.get(str(function.bdf), [])))
    virtual = fabric.virtual_functions(function)
    if virtual:
        loud = sum(bool(errors.get(str(v.bdf))) for v in virtual)
        text = Text(f"{plural(virtual, 'VF')}  {virtual[0].bdf} to {virtual[-1].bdf}")
        branch.add(text.append(f"  {plural(loud, 'VF')} with errors", "red") if loud else text)
    for child in fabric.children(function):
        _grow(branch, fabric, child, named, errors)
    if function.slot_below is not None and not fabric.children(function):
        branch.add(Text(f"{_slot(function.slot_below)}  empty", "dim"))


def _text(function: Function, named: dict[tuple[int, int], str], errors: list[str]) -> Text:
    text = Text(f"{function.bdf}  {type_of(function)}  {clean(named[function.vendor, function.device])}")
    facts = [
        f"bus {function.bus_range[0]:02x}-{function.bus_range[1]:02x}" if function.bus_range is not None else "",
        _slot(function.slot_below) if function.slot_below is not None else "",
        f"s/n {function.serial}" if function.serial else "",
        clean(function.driver) if function.driver else "",
    ]
    text.append("".join(f"  {fact}" for fact in facts if fact))
    if function.unread or function.note:
        text.append(f"  {clean(function.note or function.unread)}", "dim")
    if errors:
        shown = ", ".join(c.removeprefix("ereport.io.") for c in errors[:_SHOWN_ERRORS])
        more = f" and {len(errors) - _SHOWN_ERRORS} more" if len(errors) > _SHOWN_ERRORS else ""
        text.append(f"  ERROR {shown}{more}", "red")
    return text


def _behind(root: Function) -> str:
    # A VMD domain hangs below a Function of another segment: /devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0.
    above = root.sysfs.split("/")[:-2]
    try:
        return f", behind {Bdf.parse(above[-1])}" if above else ""
    except ValueError:
        return ""


def _slot(slot: Slot) -> str:
    doubt = f", but {', '.join(f'{label} ({source})' for label, source in slot.others)}" if slot.agreed is False else ""
    return clean(f"{slot.label} ({slot.source}{doubt})")
