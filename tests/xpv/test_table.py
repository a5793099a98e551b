"""The tables hold no row twice, and number collisions are settled by release."""

from __future__ import annotations

import csv
from collections import Counter

import pytest
from support.trace import SHARED

from pcifma.xpv.operation import Family, choose, plausible, releases
from pcifma.xpv.table import FAMILIES, HYPERCALLS, IOCTLS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_has_no_number_twice_in_one_release(family: Family) -> None:
    for release in range(10, 23):
        rows = [row.number for row in family.rows if row.since <= release <= row.until]
        assert len(rows) == len(set(rows)), release


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_has_no_name_twice(family: Family) -> None:
    names = [row.name for row in family.rows] + [nested.full_name(row) for nested in family.nested for row in nested.rows]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_family_is_a_hypercall_of_the_table() -> None:
    assert {(family.hypercall, family.name) for family in FAMILIES} <= {(row.number, row.name) for row in HYPERCALLS}


def test_ioctl_number_has_its_type_and_size() -> None:
    assert {row.command >> 8 & 0xFF for row in IOCTLS} == {0x50}
    sizes = {row.name: row.command >> 16 & 0x3FFF for row in IOCTLS}
    assert (sizes["hypercall"], sizes["mmapbatch_v2"], sizes["dm_op"], sizes["unimplemented"]) == (48, 32, 16, 0)


@pytest.mark.parametrize(("version", "name"), [(0x0F, "psr_cat_op"), (0x10, "psr_alloc"), (0x15, "psr_alloc"), (0xEE, "psr_alloc")])
def test_choose_goes_by_interface_version(version: int, name: str) -> None:
    domctl = next(family for family in FAMILIES if family.name == "domctl")
    row = choose(domctl.rows, 78, releases("domctl", version))
    assert row is not None
    assert row.name == name


def test_choose_knows_no_number_outside_the_table() -> None:
    assert choose(HYPERCALLS, 99, None) is None


def test_releases_names_the_branch() -> None:
    assert releases("domctl", 0x15) == (17, 17)
    assert releases("sysctl", 0x15) == (17, 20)
    assert releases("platform_op", 0x03000001) is None


def test_plausible_refuses_kernel_addresses() -> None:
    assert plausible("domctl", 0x15)
    assert plausible("domctl", 0)
    assert not plausible("domctl", 0xFFFF8880)
    assert not plausible("mca", 0x15)


def test_tables_have_every_row_of_the_researched_list() -> None:
    path = SHARED / "ops.tsv"
    if not path.exists():
        pytest.skip("no ops.tsv: ../shared/facts/xpv-data is not beside this checkout")
    ours = {(row.number, row.name) for row in HYPERCALLS}
    for family in FAMILIES:
        ours |= {(row.number, row.name) for row in family.rows}
        ours |= {(row.number, nested.full_name(row)) for nested in family.nested for row in nested.rows}
    ours |= {(48, "arch_0")}  # named mca, as Linux does
    # Identifiers of frames inside a resource are arguments of an operation, not operations.
    frames = ("resource_grant_table_id_shared", "resource_grant_table_id_status", "resource_ioreq_server_frame_bufioreq")
    with path.open() as file:
        rows = [(int(row["number"]), row["name"].lower()) for row in csv.DictReader(file, delimiter="\t")]
    assert [row for row in rows if row not in ours and row[1] not in frames] == []
