"""Where a symptom is seen, from the part at fault: relations on the fabric, and which Functions may be at fault at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from pcifma.plugin import Bdf, DevType, Fabric, Function

from .address import find
from .evidence import Seen
from .exercise import Names

_LOWER_ENDS = frozenset({DevType.ENDPOINT, DevType.LEGACY_ENDPOINT, DevType.UPSTREAM_PORT, DevType.PCIE_TO_PCI_BRIDGE})
GUEST_DRIVERS = frozenset({"vfio-pci", "pciback", "xen-pciback"})
# What a class needs of a Function before its absence means anything.
_NEEDS = (
    (tuple(f"ereport.io.pciex.{layer}." for layer in ("pl", "dl", "tl", "int")), "ECAP_AER"),
    (("ereport.io.pciex.dpc.", "ereport.io.pciex.rp-pio."), "ECAP_DPC"),
    (("ereport.io.cxl.",), "ECAP_DVSEC"),
)
# A guest clears what it sees: half of what its Function had to say may be gone before anybody looks.
_GUEST_TELLS = 0.5
_KNOWN, _LISTS_KNOWN = 16384, 128  # answers of one kind that a FabricSpace keeps


def role(function: Function) -> str:
    """The role of *function* in the rules' words."""
    if function.dev_type is None:
        return "pci_bridge" if function.bus_range is not None else "pci"
    try:
        return DevType(function.dev_type).name.lower()
    except ValueError:
        return "any"


def path(fabric: Fabric, function: Function) -> tuple[Function, ...]:
    """From the root bus down to *function*; a VF stands where its PF stands."""
    pf = fabric.get(function.physfn) if function.physfn is not None else None
    return fabric.path(function) if pf is None else (*fabric.path(pf)[:-1], function)


def below(fabric: Fabric, function: Function) -> list[Function]:
    """Every Function below *function*, at any depth; VFs are left out."""
    found: list[Function] = []
    todo = list(fabric.children(function))
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(fabric.children(one))
    return found


def first(fabric: Fabric, function: Function) -> Function:
    """The Function that stands for the device that *function* is of: all of them share its link and slot."""
    return siblings(fabric, function)[0]


def siblings(fabric: Fabric, function: Function) -> Sequence[Function]:
    """All Functions of the device that *function* is of, itself included."""
    port = fabric.parent(function)
    same = [f for f in fabric.children(port) if f.bdf.device == function.bdf.device] if port is not None else []
    return same if function in same else [function]


def home(fabric: Fabric, device: str) -> str:
    """The name of the part of the fabric that *device* shares errors with: its Root Port, or else its root bus."""
    function = find(fabric, device)
    if function is None:
        return device
    top = path(fabric, function)[0]
    is_port = top.dev_type == DevType.ROOT_PORT or fabric.children(top)
    return str(top.bdf) if is_port else f"{top.bdf.segment:04x}:{top.bdf.bus:02x}"


def related(fabric: Fabric, function: Function, at: str) -> set[str]:
    """The addresses that stand in relation *at* to *function*."""
    if at == "self":
        return {str(function.bdf)}
    if at == "device":
        return {str(f.bdf) for f in siblings(fabric, function)}
    if at == "partner":
        found: Iterable[Function | None] = path(fabric, function)[-2:-1] if _meets_above(function) else ()
    elif at == "child":
        found = [f for f in fabric.children(function) if _meets_above(f)]
    elif at == "above":
        found = path(fabric, function)[:-1]
    elif at == "root":
        found = path(fabric, function)[:1]
    else:
        found = below(fabric, function)
    return {str(f.bdf) for f in found if f is not None and f.bdf != function.bdf}


def _meets_above(function: Function) -> bool:
    # Inside a switch there is no link: its ports are one part.
    return function.dev_type in _LOWER_ENDS or function.dev_type is None


class FabricSpace:
    """A fabric as an exercise sees it: parts are addresses. Answers are kept, since every hypothesis asks the same ones."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.place = lru_cache(maxsize=_KNOWN)(self._place)
        self.names = lru_cache(maxsize=_KNOWN)(self._names)
        self.stands_for_device = lru_cache(maxsize=_KNOWN)(self._stands_for_device)
        self.is_idle = lru_cache(maxsize=_KNOWN)(self._is_idle)
        self._meant = lru_cache(maxsize=_LISTS_KNOWN)(self._parts)
        # A capture tells of no driver at all.
        self._has_drivers = any(f.driver for f in fabric if f.bus_range is None)

    def parts(self, evidence: Sequence[Seen]) -> Sequence[str]:
        """Who may be at fault: whoever spoke or was named, all above them, and below those whose log names nobody."""
        return self._meant(frozenset((one.device, frozenset(one.named.values())) for one in evidence))

    def _parts(self, said: Iterable[tuple[str, frozenset[str]]]) -> Sequence[str]:
        found: set[Bdf] = set()
        for device, names in said:
            reporter = find(self.fabric, device)
            named = [f for f in (find(self.fabric, name) for name in names) if f is not None]
            for function in (*((reporter,) if reporter is not None else ()), *named):
                found |= {f.bdf for f in path(self.fabric, function)}
            if reporter is not None:
                lower = self.fabric.children(reporter) if _points_down(self.fabric, reporter, named) else below(self.fabric, reporter)
                found |= {f.bdf for f in lower}
        return tuple(str(bdf) for bdf in sorted(found))

    def roles(self, part: str) -> frozenset[str]:
        """The rules' words for what *part* is."""
        function = find(self.fabric, part)
        return frozenset() if function is None else frozenset({role(function), "any"})

    def _stands_for_device(self, part: str) -> bool:
        function = find(self.fabric, part)
        return function is not None and function.physfn is None and first(self.fabric, function).bdf == function.bdf

    def has_link(self, part: str) -> bool:
        """True for the lower end of a link."""
        function = find(self.fabric, part)
        return function is not None and function.dev_type in _LOWER_ENDS

    def _is_idle(self, part: str) -> bool:
        function = find(self.fabric, part)
        if function is None or function.bus_range is not None:
            return False
        if function.unread == "asleep":
            return True
        return self._has_drivers and not any(f.driver for f in siblings(self.fabric, function))

    def tells(self, device: str, class_: str) -> float:
        """How much it means that *device* did not say *class_*: 0 where it could not, 1 where it would have."""
        function = find(self.fabric, device)
        if function is None or function.unread:
            return 0.0
        needs = next((needs for heads, needs in _NEEDS if class_.startswith(heads)), "")
        if needs and function.offset_of(needs) is None:
            return 0.0
        return _GUEST_TELLS if function.driver in GUEST_DRIVERS else 1.0

    def _place(self, part: str, at: str) -> frozenset[str]:
        function = find(self.fabric, part)
        return frozenset() if function is None else frozenset(related(self.fabric, function, at))

    def _names(self, part: str, shared: bool) -> Names:
        function = find(self.fabric, part)
        if function is None:
            return Names(frozenset({part}), frozenset())
        mine = siblings(self.fabric, function) if shared else [function]
        names = {str(vf.bdf) for f in mine if shared for vf in self.fabric.virtual_functions(f)} | {str(f.bdf) for f in mine}
        return Names(frozenset(names), frozenset(str(f.bdf) for f in self._lower(function)) - names)

    def _lower(self, function: Function) -> list[Function]:
        found = below(self.fabric, function)
        return [*found, *(vf for f in (function, *found) for vf in self.fabric.virtual_functions(f))]


def _points_down(fabric: Fabric, reporter: Function, named: Sequence[Function]) -> bool:
    # A log that names somebody below leaves nobody else there to be asked.
    return any(f.bdf != reporter.bdf and reporter in path(fabric, f) for f in named)
