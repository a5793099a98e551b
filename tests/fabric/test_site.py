"""slots.yaml: a site's labels go before every other source, for its products only, and every mistake in the file is said."""

from __future__ import annotations

import pytest
from support.fabric import at, endpoint, root_port
from support.image import capture
from support.machine import Facts

from pcifma.access.open import open_capture
from pcifma.errors import ConfigError
from pcifma.fabric.build import build
from pcifma.fabric.function import Slot
from pcifma.fabric.site import PRODUCT, SITE, parse

GOOD = b"""
slots:
  - product: PowerEdge R7*
    ports: {"0000:00:03.0": "Riser 2, slot 4"}
  - product: Other
    ports: {"0000:00:03.0": Nowhere}
"""


def slot(product: str, data: bytes = GOOD, *, number: int | None = 3) -> Slot | None:
    images = capture(root_port("0000:00:03.0", 4, 4, slot=number), endpoint("0000:04:00.0"))
    host = Facts({SITE: data, PRODUCT: f"{product}\n".encode()})
    return build(open_capture(images.encode(), "x").but(host=host))[at("0000:04:00.0")].slot


def test_label_of_the_site_goes_first_and_the_others_stand_beside_it() -> None:
    assert slot("PowerEdge R740") == Slot("Riser 2, slot 4", "site", 3, (("Slot 3", "slot-capability"),))
    assert slot("PowerEdge R740", number=None) == Slot("Riser 2, slot 4", "site")
    assert slot("ProLiant") == Slot("Slot 3", "slot-capability", 3)


def test_card_may_be_named_in_place_of_its_port() -> None:
    found = slot("X", b'slots: [{product: "*", ports: {"04:00.0": Riser 1}}]')
    assert found is not None
    assert (found.label, found.source) == ("Riser 1", "site")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "$.slots: a list of products"),
        ("slots: {}", "$.slots: a list of products"),
        ("slots: []\nslot: []", "$.slot: no such key"),
        ("slots: [7]", "$.slots[0]: product and ports are wanted"),
        ("slots: [{product: x}]", "$.slots[0].ports: labels by address"),
        ("slots: [{ports: {'00:03.0': x}}]", "$.slots[0].product: the product's name"),
        ("slots: [{product: x, ports: {0000:04:00.0: x}}]", "in quotes"),
        ("slots: [{product: x, ports: {'00:03.0': 3}}]", "a label of 1 to 64"),
        ("slots: [{product: x, ports: {'00:03.0': a, '00:04.0': a}}]", "'a' names two slots"),
        ('slots: [{product: x, ports: {"00:03.0": "a\\e"}}]', "printable"),
        ("slots: [", ": not YAML"),
    ],
)
def test_mistake_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as err:
        parse(text.encode(), "slots.yaml")
    assert str(err.value).startswith("slots.yaml:")
    assert says in str(err.value)


def test_every_mistake_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as err:
        parse(b"slots: [{product: x, ports: {'3': a, '00:04.0': 7}}, {}]", "f")
    assert str(err.value).count("\n") == 3
