"""Records become calls: the multicall trap, results after the call, and nothing stale believed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trace import HYPERCALL, POINTER, STALE, domctl, enter, leave, memory_op, moments, reservation

from pcifma.xpv.call import Call, Return
from pcifma.xpv.decode import DM_OP, Decoder
from pcifma.xpv.line import Enter, Exit, Lost, Record
from pcifma.xpv.probe import Site, provider


def only(records: Iterable[Record], decoder: Decoder | None = None) -> Call:
    (call,) = [m for m in moments(records, decoder) if isinstance(m, Call)]
    return call


def ended(records: Iterable[Record], decoder: Decoder | None = None) -> list[Return]:
    return [m for m in moments(records, decoder) if isinstance(m, Return)]


def test_domctl_is_named_by_its_command() -> None:
    call = only([domctl(2, 7)])
    assert (call.site, call.domain) == (("domctl", "destroydomain"), 7)


def test_unknown_domctl_keeps_the_family() -> None:
    assert only([domctl(999, 7)]).site == ("domctl", None)


@pytest.mark.parametrize("word", [STALE, 0x01ECC003_00000001])
def test_stale_header_is_not_believed(word: int) -> None:
    call = only([enter(36, POINTER, behind0=(word, STALE, STALE))])
    assert (call.site, call.domain, call.struct) == (("domctl", None), None, b"")


def test_null_pointer_shows_nothing_of_what_was_fetched() -> None:
    call = only([enter(17, 0, 0, behind0=(STALE,), behind1=(STALE, STALE))])
    assert (call.site, call.struct) == (("xen_version", "version"), b"")


def test_kernel_pointer_shows_nothing_of_what_was_fetched() -> None:
    assert only([enter(32, 6, STALE, behind1=(STALE, STALE))]).struct == b""


def test_multicall_is_the_call_inside() -> None:
    call = only([memory_op(6, *reservation(7, 64, 9))])
    assert (call.site, call.domain, call.number(8, 8), call.number(16, 4)) == (("memory_op", "populate_physmap"), 7, 64, 9)


def test_direct_memory_op_is_the_same_call() -> None:
    call = only([enter(12, 6 | 0x40, POINTER, behind1=reservation(7, 64, 9))])
    assert (call.site, call.domain) == (("memory_op", "populate_physmap"), 7)


def test_multicall_of_two_is_two_calls() -> None:
    entries = (12, 0, 6, POINTER, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0)
    records: list[Record] = [
        enter(13, POINTER, 2, behind0=entries, n=reservation(7, 4)),
        leave(op=13, again=(12, 3, 6, POINTER, 0, 0, 0, 0, 17, 0x40011)),
    ]
    assert [(m.call.site, m.result) for m in ended(records)] == [
        (("memory_op", "populate_physmap"), 3),
        (("xen_version", "version"), 0x40011),
    ]


def test_multicall_says_how_many_entries_were_not_read() -> None:
    calls = [m for m in moments([enter(13, POINTER, 5, behind0=(12, 0, 6, POINTER), n=reservation(7, 4))]) if isinstance(m, Call)]
    assert [call.site for call in calls] == [("memory_op", "populate_physmap"), ("multicall", None)]
    assert int.from_bytes(calls[1].words[8:16], "little") == 4


@pytest.mark.parametrize("op", [13, 99, STALE])
def test_multicall_entry_that_cannot_be_is_stale(op: int) -> None:
    assert only([enter(13, POINTER, 1, behind0=(op, 0, 6, POINTER))]).site == ("multicall", None)


def test_multicall_result_is_the_entrys() -> None:
    (done,) = ended([memory_op(6, *reservation(7, 64)), leave(op=13, again=(12, 2**64 - 12, 6))])
    assert (done.result, done.failed) == (-12, True)


def test_multicall_result_is_unknown_where_it_was_not_read() -> None:
    (done,) = ended([memory_op(6, *reservation(7, 64)), leave()])
    assert (done.result, done.failed) == (None, None)


def test_multicall_that_failed_itself_failed() -> None:
    (done,) = ended([memory_op(6, *reservation(7, 64)), leave(-14)])
    assert (done.result, done.failed) == (-14, True)


def test_words_after_the_call_of_another_call_are_not_believed() -> None:
    (done,) = ended([memory_op(6, *reservation(7, 64)), leave(op=36, again=(12, 2**64 - 12, 6))])
    assert done.result is None


def test_createdomain_tells_the_new_id() -> None:
    (done,) = ended([domctl(1, 0xFFFF), leave(op=36, again=(0x1500000001, 5))])
    assert done.created == 5


def test_failed_createdomain_made_no_domain() -> None:
    (done,) = ended([domctl(1, 0xFFFF), leave(-22, op=36, again=(0x1500000001, 0xFFFF))])
    assert (done.created, done.failed) == (None, True)


def test_release_decides_between_two_names() -> None:
    decoder = Decoder()
    assert only([domctl(78, 1, version=0x0F)], decoder).site == ("domctl", "psr_cat_op")
    assert only([enter(39, 1)], decoder).site == ("xc_reserved_op", None)
    assert only([domctl(78, 1)], decoder).site == ("domctl", "psr_alloc")
    assert only([enter(39, 1)], decoder).site == ("argo_op", "register_ring")


def test_nested_operation_is_named() -> None:
    assert only([memory_op(21, 1)]).site == ("memory_op", "access_op_get_access")
    assert only([memory_op(28, 7 | 1 << 16)]).site == ("memory_op", "resource_grant_table")
    assert only([memory_op(21, 99)]).site == ("memory_op", "access_op")
    assert only([enter(34, 25, POINTER, behind1=(1 | 4 << 32,))]).site == ("hvm_op", "altp2m_create_p2m")


@pytest.mark.parametrize(
    ("words", "behind0", "buffer", "site"),
    [
        ((0x7FF4,), (), (), ("ioctl", "dm_op")),
        ((7 | 2 << 16, POINTER), (POINTER, 16), (3,), ("dm_op", "map_io_range_to_ioreq_server")),
        ((7 | 2 << 16, POINTER), (POINTER, 16), (STALE,), ("dm_op", None)),
        ((7 | 2 << 16, POINTER), (STALE, 16), (3,), ("dm_op", None)),
        ((7 | 2 << 16, POINTER), (), (), ("dm_op", None)),
    ],
)
def test_device_model_call_is_named_by_its_first_buffer(
    words: tuple[int, ...], behind0: tuple[int, ...], buffer: tuple[int, ...], site: Site
) -> None:
    assert only([enter(*words, command=DM_OP, behind0=behind0, buffer=buffer)]).site == site


def test_mmapbatch_has_its_domain_and_pages() -> None:
    call = only([enter(12800 | 7 << 32, POINTER, command=0x00205004)])
    assert (call.site, call.domain) == (("ioctl", "mmapbatch_v2"), 7)


def test_mmap_has_its_entries() -> None:
    call = only([enter(2 | 7 << 32, POINTER, command=0x00105002, behind0=(1, 2, 3, 4, 5, 6, 7))])
    assert [element[:8] for element in call.elements] == [(1).to_bytes(8, "little"), (4).to_bytes(8, "little")]


def test_unknown_ioctl_and_hypercall_are_kept() -> None:
    assert only([enter(0, command=0x5077)]).site == ("ioctl", "unknown")
    assert only([enter(77)]).site == ("unknown", None)


def test_ioctl_of_another_driver_is_no_call_in_the_library() -> None:
    assert moments([enter(0, command=0x5401, layer="library")], Decoder("library")) == []


def test_library_failure_has_no_number() -> None:
    (done,) = ended([enter(17, layer="library"), leave(-1, layer="library")], Decoder("library"))
    assert (done.result, done.failed) == (None, True)


def test_pairs_are_made_by_thread() -> None:
    records: list[Record] = [domctl(3, 7, tid=1), domctl(4, 8, tid=2, time_us=5), leave(tid=2, time_us=20), leave(tid=1, time_us=30)]
    assert [(m.call.domain, m.latency_ns) for m in ended(records)] == [(8, 15_000), (7, 30_000)]


def test_missing_ends_and_starts_are_counted() -> None:
    decoder = Decoder()
    moments([leave(), domctl(3, 7), domctl(4, 7), leave(), domctl(3, 7), Lost(0, 9)], decoder)
    decoder.close()
    assert (decoder.orphans, decoder.unfinished, decoder.lost) == (1, 2, 9)


def test_no_call_is_paired_across_lost_events() -> None:
    decoder = Decoder()
    assert ended([domctl(3, 7), Lost(0, 2), leave()], decoder) == []
    assert (decoder.orphans, decoder.unfinished, decoder.lost) == (1, 1, 2)


def test_second_probe_of_a_return_is_waited_for() -> None:
    records: list[Record] = [domctl(1, 0xFFFF), leave(), Exit(0, 1, "xl", 12_000, "kernel", 0, 36, (0, 5), again=True)]
    (done,) = ended(records, Decoder(again=True))
    assert done.created == 5


WORD = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 100))
WORDS = st.lists(WORD, max_size=16).map(tuple)
COMMANDS = st.sampled_from([HYPERCALL, DM_OP, 0x00105002, 0x00205004, 0x50FF, 0x5077])
ENTERS = st.builds(
    lambda command, words, behind0, behind1, nested: Enter(0, 1, "xl", 0, "kernel", command, words, behind0, behind1, (nested,), nested),
    COMMANDS,
    st.lists(WORD, min_size=6, max_size=6).map(tuple),
    WORDS,
    WORDS,
    WORDS,
)


@given(ENTERS, WORDS)
def test_any_words_become_calls_that_have_probes(record: Enter, again: tuple[int, ...]) -> None:
    for moment in moments([record, Exit(0, 1, "xl", 1000, "kernel", 0, record.words[0], again)]):
        site = moment.site if isinstance(moment, Call) else moment.call.site
        assert provider().starts[site]
        assert provider().ends[site]
