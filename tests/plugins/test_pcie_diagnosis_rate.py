"""Corrected errors as a rate: how it is estimated, which direction it is of, and when a link is worse than allowed."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.diagnosis import CARD_A, DOWN_A, ROOT, UP, part, rules, switch
from support.event import ereport
from support.fabric import at, bridge, endpoint, fabric_of, root_port
from support.image import PCIE_TO_PCI

if TYPE_CHECKING:
    from plugins.pcie_diagnosis.rate import Tally

HOUR = 3600
GEN5_X16 = 32e9 * 16
GEN1_X1 = 2.5e9


def tally() -> Tally:
    made: Tally = part("rate").Tally()
    return made


def at_least(looks: int, exact: int = 0, window_s: float = 600, look_s: float = 1.0) -> float:
    found: float = part("rate").rate_at_least(looks, exact, window_s, look_s)
    return found


@pytest.mark.parametrize(("looks", "rate"), [(60, 0.105), (300, 0.693), (540, 2.303)])
def test_rate_of_k_of_n_is_a_lower_bound_not_far_below(looks: int, rate: float) -> None:
    assert 0.6 * rate < at_least(looks) < rate
    assert math.isclose(rate, -math.log(1 - looks / 600), rel_tol=0.01)


def test_rate_when_every_look_is_errored_is_finite_and_grows_with_the_window() -> None:
    assert 4 < at_least(600) < at_least(7200, window_s=7200) < at_least(86400, window_s=86400) < 20


def test_more_errored_looks_than_looks_is_every_look() -> None:
    assert at_least(700) == at_least(600)


def test_rate_of_nothing_is_zero() -> None:
    assert at_least(0) == 0


def test_counter_is_exact_and_adds_up() -> None:
    assert 9 < at_least(0, 6000) < 10
    assert at_least(60, 6000) == pytest.approx(at_least(60) + at_least(0, 6000))


def test_one_look_counts_once_whoever_speaks_of_it() -> None:
    one = tally()
    for leaf, device in (("pl.re", CARD_A), ("dl.btlp", CARD_A), ("dl.rto", DOWN_A)):
        one.add(ereport(1, class_=f"ereport.io.pciex.{leaf}", device=device), 10.0)
    one.add(ereport(2), 11.0)
    assert one.within(600, 11.0) == (2, 0)


def test_counted_errors_stand_beside_the_looks() -> None:
    one = tally()
    one.add(ereport(1), 10.0)
    one.add(ereport(1, count=50), 10.0)
    assert one.within(600, 10.0) == (1, 50)


def test_window_forgets_what_is_older() -> None:
    one = tally()
    for tick in range(5):
        one.add(ereport(tick), 600.0 * tick)
    assert [one.within(window, 2400.0)[0] for window in (600, 1200, 86400)] == [1, 2, 5]
    assert one.within(600, 2400.0 + 3600)[0] == 0


def test_a_day_of_errors_is_a_hundred_numbers_and_none_is_lost() -> None:
    one = tally()
    for minute in range(24 * 60):
        one.add(ereport(minute), minute * 60.0)
    assert len(one.past.buckets) < 120
    assert one.within(86400, 24 * 3600.0 - 60)[0] == 24 * 60
    assert 110 <= one.within(7200, 24 * 3600.0 - 60)[0] <= 130


def test_tally_survives_a_checkpoint() -> None:
    one = tally()
    one.add(ereport(1, count=3), 100.0)
    one.add(ereport(2), 200.0)
    past = msgspec.json.decode(msgspec.json.encode(one.past), type=part("rate").Past)
    now = msgspec.json.decode(msgspec.json.encode(one.now), type=part("rate").Now)
    assert part("rate").Tally(past, now).within(86400, 200.0) == one.within(86400, 200.0) == (1, 3)


@pytest.mark.parametrize(
    ("leaf", "device", "direction"),
    [
        ("pl.re", CARD_A, f"{CARD_A} down"),
        ("dl.btlp", DOWN_A, f"{CARD_A} up"),
        ("dl.rto", DOWN_A, f"{CARD_A} down"),
        ("dl.rnr", CARD_A, f"{CARD_A} up"),
        ("dl.bdllp", UP, f"{UP} down"),
        ("pl.re", ROOT, f"{UP} up"),
    ],
)
def test_receiver_and_transmitter_at_both_ends_are_one_direction(leaf: str, device: str, direction: str) -> None:
    event = ereport(class_=f"ereport.io.pciex.{leaf}", device=device)
    assert str(part("rate").direction(rules().link, switch(), event)) == direction


def test_function_without_a_link_has_no_direction() -> None:
    fabric = fabric_of(root_port(ROOT, 1, 1), endpoint("0000:00:05.0", 0x9))
    for device in (ROOT, "0000:00:05.0", "0000:77:00.0"):
        assert part("rate").direction(rules().link, fabric, ereport(class_="ereport.io.pciex.pl.re", device=device)) is None


def test_all_functions_of_a_card_share_its_link() -> None:
    fabric = fabric_of(root_port(ROOT, 1, 2), bridge("0000:01:00.0", PCIE_TO_PCI, 2, 2), endpoint("0000:01:00.1"))
    events = [ereport(class_="ereport.io.pciex.pl.re", device=f"0000:01:00.{n}") for n in (0, 1)]
    assert len({str(part("rate").direction(rules().link, fabric, event)) for event in events}) == 1
    assert fabric.get(at("0000:01:00.1")) is not None


@pytest.mark.parametrize(("status", "bits"), [(0x1045, 32e9 * 4), (0x0011, 2.5e9), (None, GEN5_X16), (0, GEN5_X16), (0x00F, GEN5_X16)])
def test_bits_come_from_link_status_and_unknown_convicts_last(status: int | None, bits: float) -> None:
    assert part("rate").bits_per_second(status) == bits


def fires(bits: float, times: float, hours: float, *, seed: int) -> bool:
    """A link whose errors come at *times* what the specification allows, looked at each second for *hours*."""
    chance = -math.expm1(-1e-12 * bits * times)
    draw, one = random.Random(seed), tally()
    for minute in range(int(hours * 60)):
        now_s = minute * 60.0 + 59
        errored = draw.binomialvariate(60, chance) if hasattr(draw, "binomialvariate") else sum(draw.random() < chance for _ in range(60))
        if errored:
            one.add(ereport(minute), now_s)
            one.now.bucket.looks = errored
            if part("rate").marginal(rules().link, one, limit=1e-11 * bits, now_s=now_s, look_s=1.0) is not None:
                return True
    return False


@pytest.mark.parametrize("bits", [GEN5_X16, GEN1_X1, 16e9 * 8], ids=["32GT x16", "2.5GT x1", "16GT x8"])
def test_quiet_link_at_the_specified_error_rate_never_fires(bits: float) -> None:
    assert not any(fires(bits, 1.0, 30, seed=seed) for seed in range(3))


@pytest.mark.parametrize("bits", [GEN5_X16, GEN1_X1, 16e9 * 8], ids=["32GT x16", "2.5GT x1", "16GT x8"])
def test_link_at_twenty_times_the_specified_error_rate_fires(bits: float) -> None:
    assert fires(bits, 20.0, 24, seed=1)


def test_a_few_errors_are_no_fault_even_of_the_slowest_link() -> None:
    one = tally()
    for tick in range(rules().link.least - 1):
        one.add(ereport(tick), 10.0 + tick)
    assert part("rate").marginal(rules().link, one, limit=1e-11, now_s=60.0, look_s=1.0) is None


def test_flit_links_are_judged_by_flits_sent_again_and_not_by_bits() -> None:
    link, rate = rules().link, part("rate")
    assert rate.is_flit(0x0106) and not rate.is_flit(0x0105)
    assert rate.allowed(link, 0x0105) == pytest.approx(32e9 * 16 * 1e-11)
    assert rate.allowed(link, 0x0106) == pytest.approx(64e9 * 16 / 2048 * 5e-6 * 10)


def laned(lanes: list[int]) -> Tally:
    one = tally()
    for n, lane in enumerate(lanes):
        one.add(ereport(n, payload={"lane": lane}), 30.0 * n)
    return one


@pytest.mark.parametrize(
    ("lanes", "width", "said"),
    [
        ([5] * 8, 16, "lanes"),
        ([5, 6] * 6, 16, "lanes"),
        (list(range(16)) * 2, 16, "spread"),
        ([0] * 8, 1, ""),
        ([3, 9], 16, ""),
        ([], 16, ""),
    ],
)
def test_lane_errors_are_on_a_few_lanes_or_on_most(lanes: list[int], width: int, said: str) -> None:
    assert laned(lanes).lanes(width) == said


def test_one_lane_that_errs_at_every_slow_look_is_worse_than_allowed_and_one_that_errs_seldom_is_not() -> None:
    limit = 8e9 * 1e-11
    often, seldom = laned([5] * 60), tally()
    for n in range(8):
        seldom.add(ereport(n, payload={"lane": 5}), 3600.0 * n)
    assert part("rate").marginal_lane(rules().link, often, limit=limit, now_s=1800.0, look_s=30.0) is not None
    assert part("rate").marginal_lane(rules().link, seldom, limit=limit, now_s=8 * 3600.0, look_s=30.0) is None
