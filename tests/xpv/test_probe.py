"""The 35 original probes are there with their names and types, and every operation has a pair."""

from __future__ import annotations

import pytest

from pcifma.errors import UsageError
from pcifma.xpv.probe import Probe, Site, first_enabled, matching, provider, select
from pcifma.xpv.table import FAMILIES, HYPERCALLS, IOCTLS

# illumos, usr/src/uts/common/dtrace/sdt_subr.c: the xpv rows of sdt_args, and the four watch probes that have none.
ORIGINALS = {
    "mmu-update-start": ["int", "int", "mmu_update_t *"],
    "dom-create-start": ["xen_domctl_t *"],
    "dom-destroy-start": ["domid_t"],
    "dom-pause-start": ["domid_t"],
    "dom-unpause-start": ["domid_t"],
    "setvcpucontext-start": ["domid_t", "vcpu_guest_context_t *"],
    "increase-reservation-start": ["domid_t", "ulong_t", "uint_t", "ulong_t *"],
    "decrease-reservation-start": ["domid_t", "ulong_t", "uint_t", "ulong_t *"],
    "populate-physmap-start": ["domid_t", "ulong_t", "ulong_t *"],
    "add-to-physmap-start": ["domid_t", "uint_t", "ulong_t", "ulong_t"],
    "set-memory-map-start": ["domid_t", "int", "struct xen_memory_map *"],
    "evtchn-op-start": ["int", "void *"],
    "mmu-ext-op-start": ["int", "struct mmuext_op *"],
    "mmap-start": ["domid_t", "int", "privcmd_mmap_entry_t *"],
    "mmap-entry": ["ulong_t", "ulong_t", "ulong_t"],
    "mmapbatch-start": ["domid_t", "int", "caddr_t"],
    "mmapbatch-end": ["int", "struct seg *", "caddr_t"],
    "xenbus-register-watch": ["const char *", "uintptr_t", "struct xenbus_watch *"],
    "xenbus-unregister-watch": ["const char *", "uintptr_t", "struct xenbus_watch *"],
    "xenbus-enqueue-watch": ["const char *", "uintptr_t", "struct xenbus_watch *", "const char *"],
    "xenbus-fire-watch": ["const char *", "uintptr_t", "struct xenbus_watch *", "const char *"],
}


def originals() -> list[Probe]:
    return [probe for probe in provider().probes if probe.origin == "original"]


def test_provider_has_the_35_originals_first() -> None:
    assert [probe.id for probe in originals()] == list(range(1, 36))
    assert sum(probe.module == "privcmd" for probe in originals()) == 31


@pytest.mark.parametrize("name", ORIGINALS)
def test_original_has_the_argument_types_of_the_source(name: str) -> None:
    (probe,) = [probe for probe in originals() if probe.name == name]
    assert [argument.ctype for argument in probe.arguments if not argument.added] == ORIGINALS[name]


def test_every_original_end_has_one_error() -> None:
    ends = [probe for probe in originals() if probe.name.endswith("-end") and probe.name != "mmapbatch-end"]
    assert len(ends) == 14
    assert {tuple(argument.ctype for argument in probe.arguments) for probe in ends} == {("int",)}


def test_every_operation_and_ioctl_has_a_pair() -> None:
    sites: set[Site] = {(family.name, row.name) for family in FAMILIES for row in family.rows}
    sites |= {(family.name, nested.full_name(row)) for family in FAMILIES for nested in family.nested for row in nested.rows}
    sites |= {(row.name, None) for row in HYPERCALLS} | {("ioctl", row.name) for row in IOCTLS}
    assert sites - provider().starts.keys() == set()
    assert sites - provider().ends.keys() == set()


def test_no_two_probes_share_a_name() -> None:
    names = [probe.description for probe in provider().probes]
    assert len(names) == len(set(names))
    assert [probe.id for probe in provider().probes] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("xpv:::", len(provider().probes)),
        ("xpv:unix::", 4),
        ("xpv:::dom-*-start", 4),
        ("dom-*-start", 4),
        ("xpv::dom-*:", 8),
        ("privcmd_HYPERVISOR_mmu_update:", 2),
        ("xpv:privcmd:do_privcmd_mmap:mmap-[es]*", 3),
        ("xpv::privcmd_HYPERVISOR_sysctl:physinfo-?tart", 1),
    ],
)
def test_matching_reads_globs_as_dtrace(pattern: str, count: int) -> None:
    assert len(matching(pattern)) == count


@pytest.mark.parametrize("pattern", ["xpv:::nosuch", "io:::", "a:b:c:d:e", "xpv:::dom-create-start {}", "xpv:::\x1b[2J"])
def test_matching_names_what_it_cannot_match(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"probe"):
        matching(pattern)


def test_select_without_pattern_enables_all() -> None:
    assert len(select(())) == len(provider().probes)


def test_select_joins_patterns() -> None:
    assert select(["dom-create-*", "dom-destroy-*"]) == select(["dom-create-*"]) | select(["dom-destroy-*"])


def test_original_fires_before_its_extension() -> None:
    probes = provider().starts["event_channel_op", "alloc_unbound"]
    everything, ours = first_enabled(probes, select(())), first_enabled(probes, select(["alloc-unbound-start"]))
    assert everything is not None
    assert everything.name == "evtchn-op-start"
    assert ours is not None
    assert ours.name == "alloc-unbound-start"
    assert first_enabled(probes, select(["dom-create-start"])) is None
