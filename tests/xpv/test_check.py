"""Traces held against the sequences: whole ones pass, and each thing taken out, moved or added is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.trace import POINTER, domctl, enter, leave, memory_op, reservation, shared_recording

from pcifma.cli.main import run
from pcifma.xpv.check import Finding, Verdict, examine, expect
from pcifma.xpv.decode import Decoder
from pcifma.xpv.life import Lives
from pcifma.xpv.line import Enter, Record
from pcifma.xpv.sequence import CONTROL, SEQUENCES

HELPER = "libxl-save-help"


def call(record: Enter, result: int = 0, *again: int) -> list[Record]:
    """Return *record* and its return, which shows the words *again*."""
    return [record, leave(result, tid=record.tid, op=record.words[0] if again else None, again=again)]


def channel(domain: int) -> list[Record]:
    return call(enter(32, 6, POINTER, behind1=(domain, 0)))


def batch(domain: int, comm: str = "xl") -> list[Record]:
    return call(enter(16 | domain << 32, POINTER, command=0x00205004, comm=comm))


def param(domain: int, index: int) -> list[Record]:
    return call(enter(34, 0, POINTER, behind1=(domain | index << 32, 1)))


def populate(domain: int, extents: int, order: int = 0, comm: str = "xl") -> list[Record]:
    return call(memory_op(6, *reservation(domain, extents, order), comm=comm), 0, 12, extents)


def claim(domain: int, pages: int) -> list[Record]:
    return call(memory_op(24, *reservation(domain, pages)), 0, 12, 0)


def created(domain: int) -> dict[str, list[Record]]:
    return {
        "dom-create": call(domctl(1, 0xFFFF), 0, 1, domain),
        "max-vcpus": call(domctl(15, domain, 1)),
        "max-mem": call(domctl(11, domain, 132096)),
        "alloc-unbound": [*channel(domain), *channel(domain)],
    }


def create_pv(domain: int = 7) -> dict[str, list[Record]]:
    return {
        **created(domain),
        "set-memory-map": call(memory_op(13, domain, 1)),
        "claim": claim(domain, 32768),
        "populate-physmap": populate(domain, 64, 9),
        "unclaim": claim(domain, 0),
        "mmapbatch": batch(domain),
        "mmu-ext-op (pin)": call(enter(26, POINTER, 1, 0, domain, behind0=(3, 5, 0))),
        "setvcpucontext": call(domctl(12, domain)),
        "dom-unpause": call(domctl(4, domain)),
    }


def create_hvm(domain: int = 7) -> dict[str, list[Record]]:
    return {
        **created(domain),
        "set-param": param(domain, 32),
        "populate-physmap": populate(domain, 60, 9),
        "set-memory-map": call(memory_op(13, domain, 1)),
        "mmapbatch": batch(domain),
        "sethvmcontext": call(domctl(34, domain)),
        "device model (dm-op)": call(
            enter(domain | 1 << 16, POINTER, command=0x00105005, behind0=(POINTER, 8), buffer=(1,), comm="xen-qemu-system")
        ),
        "dom-unpause": call(domctl(4, domain)),
    }


def create_pvh(domain: int = 7) -> dict[str, list[Record]]:
    steps = create_hvm(domain)
    steps["set-param"] = param(domain, 10)
    del steps["device model (dm-op)"]
    return steps


def restore(domain: int = 7) -> dict[str, list[Record]]:
    return {
        **created(domain),
        "populate-physmap": populate(domain, 64, 9, HELPER),
        "mmapbatch": batch(domain, HELPER),
        "setvcpucontext or sethvmcontext": call(domctl(34, domain, comm=HELPER)),
        "dom-unpause": call(domctl(4, domain)),
    }


def migrate(domain: int = 7) -> dict[str, list[Record]]:
    return {
        "shadow-op ENABLE_LOGDIRTY": call(domctl(10, domain, 2, comm=HELPER)),
        "getpageframeinfo3": call(domctl(61, domain, comm=HELPER)),
        "mmapbatch": batch(domain, HELPER),
        "shadow-op CLEAN": call(domctl(10, domain, 11, comm=HELPER)),
        "guest state (getvcpucontext or gethvmcontext)": call(domctl(33, domain, comm=HELPER)),
        "shadow-op OFF": call(domctl(10, domain, 0, comm=HELPER)),
        "dom-pause": call(domctl(3, domain)),
        "dom-destroy": call(domctl(2, domain)),
    }


def save(domain: int = 7) -> dict[str, list[Record]]:
    return {
        "mmapbatch": batch(domain, HELPER),
        "getpageframeinfo3": call(domctl(61, domain, comm=HELPER)),
        "guest state (getvcpucontext or gethvmcontext)": call(domctl(13, domain, comm=HELPER)),
        "shadow-op": call(domctl(10, domain, 0, comm=HELPER), -22),
        "dom-pause": call(domctl(3, domain)),
        "dom-destroy": call(domctl(2, domain)),
    }


def pci_attach(domain: int = 7) -> dict[str, list[Record]]:
    return {
        "iomem-permission or ioport-permission": call(domctl(20, domain)),
        "map-pirq": call(enter(33, 13, POINTER, behind1=(domain, 1))),
        "irq-permission": call(domctl(19, domain)),
        "assign-device": call(domctl(37, domain, 0, 0x28)),
    }


def destroy(domain: int = 7) -> dict[str, list[Record]]:
    return {"dom-pause": call(domctl(3, domain)), "dom-destroy": call(domctl(2, domain, tid=2))}


WHOLE = {
    "create-pv": create_pv,
    "create-hvm": create_hvm,
    "create-pvh": create_pvh,
    "restore": restore,
    "migrate": migrate,
    "save": save,
    "pci-attach": pci_attach,
    "destroy": destroy,
}


def examined(*parts: list[Record]) -> Verdict:
    lives, decoder = Lives(), Decoder()
    for record in (record for part in parts for record in part):
        lives.feed(decoder.feed(record))
    decoder.close()
    return examine(lives, decoder)


def one(*parts: list[Record]) -> Finding:
    verdict = examined(*parts)
    assert (verdict.trace, verdict.strays) == ([], [])
    (finding,) = verdict.findings
    return finding


@pytest.mark.parametrize("name", WHOLE)
def test_whole_sequence_is_as_expected(name: str) -> None:
    finding = one(*WHOLE[name]().values())
    assert (finding.sequence.name, finding.missing, finding.extra, finding.failed, finding.sums) == (name, [], [], [], [])


def _required() -> Iterator[tuple[str, str]]:
    for name in WHOLE:
        begun_by = {"create-pv": "dom-create", "destroy": "dom-destroy"}.get(name, SEQUENCES[name].anchor)
        for step in SEQUENCES[name].steps:
            if step.least and step.name not in (begun_by, "dom-create", "set-param", "device model (dm-op)"):
                yield name, step.name


@pytest.mark.parametrize(("name", "step"), list(_required()))
def test_missing_step_is_named(name: str, step: str) -> None:
    steps = WHOLE[name]()
    del steps[step]
    (finding,) = examined(*steps.values()).findings
    assert [sentence.split(" after ")[0] for sentence in finding.missing] == [step]


def test_step_that_came_too_early_is_named() -> None:
    steps = create_pv()
    early = steps.pop("populate-physmap")
    finding = one(early_first(steps, early))
    assert any("it came too early" in sentence for sentence in finding.missing)


def early_first(steps: dict[str, list[Record]], early: list[Record]) -> list[Record]:
    parts = list(steps.values())
    return [record for part in (parts[0], early, *parts[1:]) for record in part]


def test_third_channel_is_extra() -> None:
    finding = one(*create_pv().values(), channel(7))
    assert finding.extra == ["alloc-unbound at 0.000000 by xl[1]: expected 2 of alloc-unbound"]


def test_one_channel_is_said_to_be_one_of_two() -> None:
    steps = create_pv()
    steps["alloc-unbound"] = channel(7)
    assert one(*steps.values()).missing == ["alloc-unbound (1 of 2) after max-mem"]


def test_vcpu_context_in_a_pvh_create_is_extra() -> None:
    steps = create_pvh()
    steps["sethvmcontext"] += call(domctl(12, 7))
    assert one(*steps.values()).extra == ["setvcpucontext at 0.000000 by xl[1]: never part of a create of a PVH domain"]


def test_failed_step_is_named_and_counts_as_missing() -> None:
    steps = create_pv()
    steps["max-vcpus"] = call(domctl(15, 7, 1), -12)
    finding = one(*steps.values())
    assert finding.failed == ["max-vcpus at 0.000000 by xl[1]: ENOMEM"]
    assert finding.missing == ["max-vcpus after dom-create"]


def test_claim_that_stays_is_named() -> None:
    steps = create_pv()
    del steps["unclaim"]
    assert one(*steps.values()).sums == ["claim of 32768 pages was never given back (claim-pages 0)"]


def test_pages_must_sum_to_the_claim() -> None:
    steps = create_pv()
    steps["populate-physmap"] = populate(7, 63, 9)
    assert one(*steps.values()).sums == ["32256 pages populated for a claim of 32768"]


def test_pages_must_stay_below_the_limit() -> None:
    steps = create_pv()
    steps["mmapbatch"] += populate(7, 2000)
    assert one(*steps.values()).sums == ["139072 KiB populated, above the limit of 132096 KiB (max-mem)"]


def test_destroy_without_pause_is_named() -> None:
    assert one(call(domctl(2, 7))).missing == ["dom-pause"]


def test_domain_may_be_paused_and_unpaused_in_between() -> None:
    between = [record for _ in range(2) for record in (*call(domctl(3, 7)), *call(domctl(4, 7)))]
    verdict = examined(*create_pv().values(), between, *destroy().values())
    assert [finding.sequence.name for finding in verdict.findings] == ["create-pv", "destroy", "pause", "pause", "unpause", "unpause"]
    assert verdict.deviations == 0


def test_id_used_again_is_a_new_domain() -> None:
    verdict = examined(*create_pv().values(), *destroy().values(), *create_hvm().values(), *destroy().values())
    assert [finding.sequence.name for finding in verdict.findings] == ["create-pv", "destroy", "create-hvm", "destroy"]
    assert verdict.deviations == 0


def test_memory_for_a_domain_nobody_creates_is_a_stray() -> None:
    verdict = examined(populate(9, 16))
    assert [(life.domain, what) for life, what in verdict.strays] == [(9, "populate-physmap at 0.000000 by xl[1]")]


def test_new_id_is_learnt_where_the_return_does_not_show_it() -> None:
    steps = create_pv()
    steps["dom-create"] = call(domctl(1, 0xFFFF))
    assert one(*steps.values()).life.domain == 7


def test_device_at_creation_is_an_attach_of_its_own() -> None:
    steps = create_pv()
    unpause = steps.pop("dom-unpause")
    verdict = examined(*steps.values(), *pci_attach().values(), unpause)
    assert [finding.sequence.name for finding in verdict.findings] == ["create-pv", "pci-attach"]
    assert verdict.deviations == 0


def test_migration_on_one_host_runs_the_new_domain_first() -> None:
    sender, receiver = migrate(7), restore(8)
    unpause = receiver.pop("dom-unpause")
    gone = [sender.pop("dom-pause"), sender.pop("dom-destroy")]
    assert examined(*sender.values(), *receiver.values(), unpause, *gone).deviations == 0
    late = examined(*sender.values(), *receiver.values(), *gone, unpause)
    assert [sentence for finding in late.findings for sentence in finding.sums] == ["domain 7 was paused before domain 8 was unpaused"]


def test_log_dirty_mode_that_cannot_be_had_is_a_failure() -> None:
    steps = migrate()
    steps["shadow-op ENABLE_LOGDIRTY"] = call(domctl(10, 7, 2, comm=HELPER), -22)
    finding = one(*steps.values())
    assert finding.failed == ["shadow-op at 0.000000 by libxl-save-help[1]: EINVAL"]
    assert finding.missing == ["shadow-op ENABLE_LOGDIRTY"]


def test_daemons_take_no_part() -> None:
    assert examined(call(domctl(3, 7, comm="xenstored"))).findings == []


def test_trace_that_begins_or_stops_in_a_call_says_so() -> None:
    verdict = examined([leave()], [domctl(3, 7)])
    assert len(verdict.trace) == 2


def test_expected_operation_that_is_not_there_is_named() -> None:
    verdict = examined(*destroy().values())
    assert expect(verdict, "destroy")
    assert not expect(verdict, "pause")
    assert verdict.trace == ["pause: no pause of a domain in this trace: it has no dom-pause"]


def test_every_anchor_changes_a_domain() -> None:
    for sequence in SEQUENCES.values():
        assert any(step.name.startswith(sequence.anchor) and step.least for step in sequence.steps)
        assert any(site in CONTROL for step in sequence.steps for site in step.sites)


RECORDED = {
    "traces-6.1-xen4.17/hvm-create-p.trace": ["create-hvm"],
    "traces-6.1-xen4.17/hvm-destroy.trace": ["destroy"],
    "traces-6.1-xen4.17/pv-create-p.trace": ["create-pv"],
    "traces-6.12-xen4.17/pv-create-p.trace": ["create-pv"],
    "traces-6.12-xen4.17/pvh-create-p.trace": ["create-pvh"],
    "traces-6.12-xen4.17/pvh-create-p-with-kretprobe-args.trace": ["create-pvh"],
    "traces-6.12-xen4.17/pv-pause.trace": ["pause"],
    "traces-6.12-xen4.17/pv-unpause.trace": ["unpause"],
    "traces-6.12-xen4.17/pv-save.trace": ["save"],
    "traces-6.12-xen4.17/pv-destroy.trace": ["destroy"],
    "traces-6.12-xen4.17/xl-list.trace": [],
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_operation_is_as_expected(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["trace", "check", "--json", shared_recording(name)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["sequence"] for row in rows if row["class"] == "xpv.sequence"] == RECORDED[name]
    assert (rows[-1]["class"], rows[-1]["deviations"], ended.value.code) == ("trace.summary", 0, 0)


@pytest.mark.parametrize("index", range(0, 90, 7))
def test_recording_without_one_of_its_calls_still_has_a_verdict(index: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Path(shared_recording("traces-6.12-xen4.17/pv-create-p.trace")).read_text().splitlines(keepends=True)
    kept = tmp_path / "kept.trace"
    kept.write_text("".join(lines[: 12 + 2 * index] + lines[14 + 2 * index :]))
    with pytest.raises(SystemExit) as ended:
        run(["trace", "check", str(kept)])
    assert ended.value.code in (0, 1)
    assert capsys.readouterr().err == ""


def test_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["trace", "check", "x", "--expect", "reboot"])
    assert ended.value.code == 2
    assert "--expect reboot: no such operation" in capsys.readouterr().err


def test_lost_events_make_the_verdict_uncertain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lost.trace"
    path.write_text("CPU:0 [LOST EVENTS]\n")
    with pytest.raises(SystemExit) as ended:
        run(["trace", "check", str(path)])
    assert ended.value.code == 3
    assert "may only not have been seen" in capsys.readouterr().err
