"""FMRIs and the target identity, against the golden fixture's expectations and contract 1.2 and 1.4."""

from __future__ import annotations

import json
from pathlib import Path

from support.fabric import at, bridge, endpoint, fabric_of, root_port
from support.image import PCIE_TO_PCI, RCIEP, Image

from pcifma.access.open import open_capture
from pcifma.fabric.build import build
from pcifma.fabric.fmri import detector, hc, identity
from pcifma.regs.bdf import Bdf

GOLDEN = Path(__file__).parents[2] / "fixtures/malformed-tlp-nomsi"


def test_golden_fixture_names_its_endpoint() -> None:
    fabric = build(open_capture((GOLDEN / "config.lspci").read_bytes(), "config.lspci"))
    wanted = json.loads((GOLDEN / "expect.json").read_text())["ereports"][1]
    function = fabric[Bdf.parse(wanted["device"])]
    assert (detector(fabric, function), hc(fabric, function)) == (wanted["detector"], wanted["resource"])


def test_conventional_functions_and_rcieps_have_their_own_nouns() -> None:
    plain = Image("0000:00:1f.3", "SMBus").header(0x8086, 0xA123, 0x0C0500)
    fabric = fabric_of(plain, endpoint("0000:00:14.0", RCIEP))
    assert hc(fabric, fabric[at("00:1f.3")]) == "hc:///hostbridge=0000-00/pcibus=00/pcidev=31/pcifn=3"
    assert hc(fabric, fabric[at("00:14.0")]) == "hc:///hostbridge=0000-00/pciexbus=00/pciexdev=20/pciexfn=0"


def test_conventional_function_below_express_keeps_the_express_nouns() -> None:
    card = Image("0000:02:04.0", "Sound").header(0x1102, 0x2, 0x040100)
    fabric = fabric_of(root_port("0000:00:03.0", 1, 2), bridge("0000:01:00.0", PCIE_TO_PCI, 2, 2), card)
    assert hc(fabric, fabric[at("02:04.0")]).endswith("/pciexbus=02/pciexdev=4/pciexfn=0")


def test_identity_survives_renumbered_buses() -> None:
    before = fabric_of(root_port("0000:00:03.0", 1, 1, slot=3), endpoint("0000:01:00.0"))
    after = fabric_of(root_port("0000:00:03.0", 9, 9, slot=3), endpoint("0000:09:00.0"))
    assert identity(before, before[at("01:00.0")]) == identity(after, after[at("09:00.0")])


def test_identity_tells_the_functions_of_one_card_apart() -> None:
    fabric = fabric_of(root_port("0000:00:03.0", 1, 1), endpoint("0000:01:00.0"), endpoint("0000:01:00.1"))
    assert len({identity(fabric, f) for f in fabric}) == 3
