"""The fabric that registers and sysfs give: the same from both."""

from __future__ import annotations

from support.fabric import at, bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, ENDPOINT, PCIE_TO_PCI, RCEC, RCIEP, ROOT_PORT, UPSTREAM, Image, capture

from pcifma.access.open import open_capture
from pcifma.fabric.build import build


def test_bus_numbers_decide_who_is_below_whom() -> None:
    fabric = fabric_of(
        root_port("0000:00:03.0", 1, 4),
        bridge("0000:01:00.0", UPSTREAM, 2, 4),
        bridge("0000:02:00.0", DOWNSTREAM, 4, 4),
        endpoint("0000:04:00.0"),
    )
    path = fabric.path(fabric[at("04:00.0")])
    assert [str(f.bdf) for f in path] == ["0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:04:00.0"]
    assert [f.dev_type for f in path] == [ROOT_PORT, UPSTREAM, DOWNSTREAM, ENDPOINT]


def test_segments_do_not_share_buses() -> None:
    fabric = fabric_of(root_port("0000:00:03.0", 1, 1), endpoint("10000:01:00.0"))
    assert fabric[at("10000:01:00.0")].parent is None


def test_missing_bridge_leaves_a_note_and_the_nearest_one_above() -> None:
    fabric = fabric_of(root_port("0000:00:03.0", 1, 4), endpoint("0000:04:00.0"))
    orphan = fabric[at("04:00.0")]
    assert orphan.parent == at("00:03.0")
    assert orphan.note == "the bridge to bus 04 is not visible"


def test_bus_claimed_twice_names_both_claimants() -> None:
    fabric = fabric_of(root_port("0000:00:03.0", 4, 4), root_port("0000:00:04.0", 4, 4), endpoint("0000:04:00.0"))
    assert fabric[at("04:00.0")].note == "bus 04 is claimed by 0000:00:03.0, 0000:00:04.0"


def test_bridges_that_name_each_other_make_no_loop() -> None:
    fabric = fabric_of(root_port("0000:01:00.0", 2, 2), root_port("0000:02:00.0", 1, 1))
    assert [len(fabric.path(f)) for f in fabric] == [1, 2]


def test_slot_number_reaches_the_card_and_all_below_it() -> None:
    fabric = fabric_of(root_port("0000:00:03.0", 1, 2, slot=3), bridge("0000:01:00.0", PCIE_TO_PCI, 2, 2), endpoint("0000:02:00.0"))
    slots = [(f.slot and f.slot.label, f.slot_below and f.slot_below.label) for f in fabric]
    assert slots == [(None, "Slot 3"), ("Slot 3", None), ("Slot 3", None)]


def test_vf_folds_under_its_pf_by_offset_and_stride() -> None:
    pf = endpoint("0000:01:00.0").extended(0x160, 0x0010)
    pf.put(0x168, 1, 2).put(0x170, 4, 2).put(0x174, 2, 2).put(0x176, 2, 2).put(0x17A, 0x1018, 2)
    vf = endpoint("0000:01:00.4").put(0, 0xFFFFFFFF, 4)
    other = endpoint("0000:01:00.3")
    fabric = fabric_of(root_port("0000:00:03.0", 1, 1), pf, other, vf)
    folded = fabric[at("01:00.4")]
    assert (folded.physfn, folded.vendor, folded.device) == (at("01:00.0"), 0x15B3, 0x1018)
    assert fabric.virtual_functions(fabric[at("01:00.0")]) == (folded,)
    assert [f.bdf for f in fabric.children(fabric[at("00:03.0")])] == [at("01:00.0"), at("01:00.3")]


def test_rcec_collects_for_its_own_bus_and_its_bus_range() -> None:
    rcec = Image("0000:00:1f.0", "RCEC").header(0x8086, 0x1, 0x080700).express(0x40, RCEC).aer()
    rcec.extended(0x160, 0x0007, 2).put(0x164, 1 << 2, 4).put(0x168, 7 << 16 | 6 << 8, 4)
    fabric = fabric_of(rcec, *(endpoint(b, RCIEP) for b in ("0000:00:02.0", "0000:00:03.0", "0000:06:00.0")))
    found = {str(f.bdf): fabric.collector(f) for f in fabric}
    assert {b for b, c in found.items() if c is not None} == {"0000:00:02.0", "0000:06:00.0"}


def test_all_ones_is_gone_and_header_alone_is_short() -> None:
    gone = Image("0000:01:00.0", "Gone")
    gone.data[:] = b"\xff" * 4096
    short = endpoint("0000:02:00.0")
    text = capture(gone) + short.text(64)
    fabric = build(open_capture(text.encode(), "test.lspci"))
    assert [f.unread for f in fabric] == ["gone", "short"]


def test_capabilities_say_which_registers_they_have() -> None:
    card = endpoint("0000:01:00.0").capability(0x90, 0x05).put(0x92, 0x0181, 2)
    card.extended(0x160, 0x0023).put(0x164, 0x01401E98, 4).put(0x168, 7, 2).extended(0x180, 0x0023).put(0x184, 0x01808086, 4)
    found = fabric_of(card)[at("01:00.0")]
    assert [(c.name, c.version, c.form.name) for c in found.capabilities if c.name != "ECAP_AER"] == [
        ("CAP_EXP", 2, ""),
        ("CAP_MSI", 0, "64-bit"),
        ("ECAP_DVSEC", 1, "cxl-flex-bus"),
        ("ECAP_DVSEC", 1, "other"),
    ]
    assert [c.offset for c in found.all("ECAP_DVSEC")] == [0x160, 0x180]
