"""The plugin API: all that a plugin may import. Version 1.

A plugin is a directory with plugin.yaml and plugin.py; docs/plugins.md walks through one. What sources do not need (events, cases,
the services of modules, machine checks) is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING

from pcifma.access.seam import Host, Record
from pcifma.errors import PluginError
from pcifma.event.value import PayloadValue, Severity
from pcifma.fabric import fmri
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import FoundCapability, Function, Slot
from pcifma.plugin.bits import error_bits, error_mask, findings
from pcifma.plugin.data import load_data
from pcifma.plugin.header_log import header_payload
from pcifma.plugin.number import numbers
from pcifma.plugin.watch import HOST, Evidence, Finding, Read, Snapshot, Target, Tier, Watch, When
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import BY_NAME as CAPABILITIES
from pcifma.regs.exp import DevType
from pcifma.regs.table import Access, Capability, Field, Location, Register

if TYPE_CHECKING:
    from pcifma.event.case import ListEvent, Suspect
    from pcifma.event.code import message_code, message_id
    from pcifma.event.ereport import Ereport
    from pcifma.event.line import encode
    from pcifma.platform.coverage import Coverage
    from pcifma.platform.guest import guests
    from pcifma.platform.hypervisor import in_guest
    from pcifma.plugin.agent import Agent
    from pcifma.plugin.module import Case, Module, PropertyValue, Response, Serd, Services, Source
    from pcifma.plugin.status import LOOK_BOUNDS_S, CaseStatus, LatchedBit, LogStatus, Looks, ModuleStatus, Status
    from pcifma.regs.mca_error import MachineCheck, Origin, physical_address
    from pcifma.regs.tlp import decode_header

API_VERSION = 1

_WHEN_ASKED = {
    **dict.fromkeys(("ListEvent", "Suspect"), "pcifma.event.case"),
    **dict.fromkeys(("message_code", "message_id"), "pcifma.event.code"),
    "Ereport": "pcifma.event.ereport",
    "encode": "pcifma.event.line",
    "Coverage": "pcifma.platform.coverage",
    "guests": "pcifma.platform.guest",
    "in_guest": "pcifma.platform.hypervisor",
    "Agent": "pcifma.plugin.agent",
    **dict.fromkeys(("Case", "Module", "PropertyValue", "Response", "Serd", "Services", "Source"), "pcifma.plugin.module"),
    **dict.fromkeys(
        ("LOOK_BOUNDS_S", "CaseStatus", "LatchedBit", "LogStatus", "Looks", "ModuleStatus", "Status"), "pcifma.plugin.status"
    ),
    **dict.fromkeys(("MachineCheck", "Origin", "physical_address"), "pcifma.regs.mca_error"),
    "decode_header": "pcifma.regs.tlp",
}

__all__ = [
    "API_VERSION",
    "CAPABILITIES",
    "HOST",
    "LOOK_BOUNDS_S",
    "Access",
    "Agent",
    "Bdf",
    "Capability",
    "Case",
    "CaseStatus",
    "Coverage",
    "DevType",
    "Ereport",
    "Evidence",
    "Fabric",
    "Field",
    "Finding",
    "FoundCapability",
    "Function",
    "Host",
    "LatchedBit",
    "ListEvent",
    "Location",
    "LogStatus",
    "Looks",
    "MachineCheck",
    "Module",
    "ModuleStatus",
    "Origin",
    "PayloadValue",
    "PluginError",
    "PropertyValue",
    "Read",
    "Record",
    "Register",
    "Response",
    "Serd",
    "Services",
    "Severity",
    "Slot",
    "Snapshot",
    "Source",
    "Status",
    "Suspect",
    "Target",
    "Tier",
    "Watch",
    "When",
    "decode_header",
    "encode",
    "error_bits",
    "error_mask",
    "findings",
    "fmri",
    "guests",
    "header_payload",
    "in_guest",
    "load_data",
    "message_code",
    "message_id",
    "numbers",
    "physical_address",
]


def __getattr__(name: str) -> object:
    if name not in _WHEN_ASKED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHEN_ASKED[name]), name)
