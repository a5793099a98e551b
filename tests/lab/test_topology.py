from __future__ import annotations

import pytest
from lab.topology import Topology, downstream, endpoint, host_bridge, root_port, standard, switch


def test_arguments_name_parents_before_what_stands_below() -> None:
    words = Topology((root_port("rp1", switch("up1", downstream("dn1", endpoint("ep1")))),)).arguments()
    assert words[0::2] == ["-device"] * 4
    assert words[1::2] == [
        "pcie-root-port,id=rp1,bus=pcie.0,chassis=1,slot=1",
        "x3130-upstream,id=up1,bus=rp1",
        "xio3130-downstream,id=dn1,bus=up1,chassis=1,slot=3",
        "virtio-rng-pci,id=ep1,bus=dn1,aer=on",
    ]


def test_arguments_give_each_port_a_slot_of_its_own() -> None:
    words = Topology(tuple(root_port(f"rp{number}") for number in range(100))).arguments()
    places = [word.split("chassis=")[1] for word in words[1::2]]
    assert len(set(places)) == 100


def test_host_bridge_carries_root_ports() -> None:
    words = Topology((host_bridge("hb1", root_port("rp9"), bus=64),)).arguments()
    assert words[1::2] == ["pxb-pcie,id=hb1,bus=pcie.0,bus_nr=64", "pcie-root-port,id=rp9,bus=hb1,chassis=1,slot=2"]


def test_path_leads_up_to_the_root() -> None:
    assert standard().path("ep2") == ["ep2", "dn1", "up1", "rp2"]


def test_path_refuses_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        standard().path("ep99")


def test_names_are_of_one_kind() -> None:
    assert standard().names("downstream_port") == ["dn1", "dn2"]
