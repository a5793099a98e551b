"""Check: a trace held against the control-plane sequences: what is missing, what is extra, what failed, and which sums do not come out.

    lives of domains ──> which operations began (anchors) ──> steps in order, each act used once ──> rest of what changes a domain: extra

Sums and invariants hold for any release: pages claimed are given back and populated in full, a domain is paused before it is destroyed,
starts and ends alternate on each thread, the new domain of a migration runs before the old one is paused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pcifma.xpv.aggregation import extents_done
from pcifma.xpv.decode import Decoder
from pcifma.xpv.life import DESTROY, Act, Life, Lives
from pcifma.xpv.probe import provider
from pcifma.xpv.sequence import CONTROL, CREATES, PINS, SEQUENCES, SET_PARAM, Sequence, Step

_SAVE_HELPER = "libxl-save-help"
_HVM_ONLY_PARAMS = (11, 32, 33)  # HPET_ENABLED, IOREQ_SERVER_PFN, NR_IOREQ_SERVER_PAGES, hvm/params.h
_IOREQ_SERVER = 0  # XENMEM_resource_ioreq_server, memory.h
_LOGDIRTY = 2  # XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, domctl.h


@dataclass(slots=True)
class Finding:
    """One operation found in a trace, and how it differs from what is expected: lists of sentences, empty where it does not."""

    sequence: Sequence
    life: Life
    acts: list[Act]
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)

    @property
    def deviations(self) -> int:
        """How many differences there are."""
        return len(self.missing) + len(self.extra) + len(self.failed) + len(self.sums)


@dataclass(slots=True)
class Verdict:
    """All findings of a trace, what is wrong with the trace as a whole, and acts of domains that belong to no operation."""

    findings: list[Finding] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    strays: list[tuple[Life, str]] = field(default_factory=list)

    @property
    def deviations(self) -> int:
        """How many differences there are in all."""
        return sum(finding.deviations for finding in self.findings) + len(self.trace) + len(self.strays)


def describe(act: Act) -> str:
    """Return *act* as a person names it: probe, process and time in seconds of the trace clock."""
    name = provider().starts[act.call.site][0].name.removesuffix("-start")
    if act.call.site[1] and name in ("evtchn-op", "mmu-ext-op"):
        name = act.call.site[1].replace("_", "-")
    return f"{name} at {act.call.start_ns / 1e9:.6f} by {act.call.comm}[{act.call.tid}]"


def kind(life: Life) -> str:
    """Return which sequence creates the domain of *life*: restore by its helper, else PV, HVM or PVH by what builders do only for these."""
    sites = [act.site for act in life.acts]
    if (
        any(act.call.comm == _SAVE_HELPER for act in life.acts)
        or ("memory_op", "maximum_gpfn") in sites[: _first(sites, "populate_physmap")]
    ):
        return "restore"
    if any(site in sites for site in (("domctl", "setvcpucontext"), ("domctl", "set_address_size"), *PINS)) and SET_PARAM not in sites:
        return "create-pv"
    if any(_hvm_only(act) for act in life.acts):
        return "create-hvm"
    return "create-pvh" if SET_PARAM in sites else "create-pv"


def _first(sites: list[tuple[str, str | None]], operation: str) -> int:
    return next((index for index, site in enumerate(sites) if site[1] == operation), len(sites))


def _hvm_only(act: Act) -> bool:
    if act.site == SET_PARAM:
        return act.call.number(4, 4) in _HVM_ONLY_PARAMS
    if act.site == ("ioctl", "mmap_resource"):
        return int.from_bytes(act.call.words[4:8], "little") == _IOREQ_SERVER
    return act.site == ("dm_op", None)


def examine(lives: Lives, decoder: Decoder) -> Verdict:
    """Return what *lives* deviate in. *decoder* is the one that read them, closed."""
    verdict = Verdict()
    if decoder.orphans and not decoder.gaps:
        verdict.trace.append(f"{decoder.orphans} calls ended that never began: the trace starts in the middle of them")
    if decoder.unfinished and not decoder.gaps:
        verdict.trace.append(
            f"{decoder.unfinished} calls began that never ended: the trace stops in the middle, or starts do not alternate with ends"
        )
    for life in lives.lives:
        rest = [act for act in life.acts if act.call.site[1] is not None or act.site[0] == "dm_op"]
        for sequence in _begun(life, rest):
            verdict.findings.append(_matched(sequence, life, rest))
        verdict.strays += [(life, describe(act)) for act in rest if act.site in CONTROL]
    _across(verdict)
    return verdict


def expect(verdict: Verdict, name: str) -> bool:
    """Tell whether the operation *name* was found; note it as missing if not."""
    found = any(finding.sequence.name == name for finding in verdict.findings)
    if not found:
        verdict.trace.append(f"{name}: no {SEQUENCES[name].title} in this trace: it has no {SEQUENCES[name].anchor}")
    return found


def _begun(life: Life, rest: list[Act]) -> Iterator[Sequence]:
    # Asked again after each match, which takes its acts out of *rest*. Wider operations first: a save ends with a destroy.
    if life.created:
        yield SEQUENCES[kind(life)]
    if any(act.site == ("domctl", "shadow_op") and act.first == _LOGDIRTY for act in rest):
        yield SEQUENCES["migrate"]
    for name, site in (
        ("save", ("domctl", "getpageframeinfo3")),
        ("pci-attach", ("domctl", "assign_device")),
        ("pci-detach", ("domctl", "deassign_device")),
        ("destroy", DESTROY),
        ("pause", ("domctl", "pausedomain")),
        ("unpause", ("domctl", "unpausedomain")),
    ):
        count = len(rest) + 1
        while any(act.site == site for act in rest) and len(rest) < count:
            count = len(rest)
            yield SEQUENCES[name]


def _matched(sequence: Sequence, life: Life, rest: list[Act]) -> Finding:
    finding = Finding(sequence, life, [])
    acts = _span(sequence, rest)
    position = -1
    after = ""
    for step in sequence.steps:
        fitting = [act for act in acts if _fits(step, act)]
        good = [act for act in fitting if act.error is None]
        finding.failed += [f"{describe(act)}: {act.error}" for act in fitting if act.error is not None]
        used = good[: step.most] if step.most < len(good) and step.name in ("dom-pause", "dom-unpause") else good
        finding.acts += fitting if len(used) == len(good) else used
        later = [act for act in used if act.number > position]
        if len(good) < step.least:
            finding.missing.append(_missing(step, len(good), after))
        elif used and not later:
            finding.missing.append(f"{step.name} {after}: it came too early, {describe(used[0])}")
        if len(used) > step.most:
            finding.extra += [f"{describe(act)}: expected {step.most} of {step.name}" for act in used[step.most :]]
        if later:
            position, after = later[0].number, f"after {step.name}"
    finding.extra += [f"{describe(act)}: never part of a {sequence.title}" for act in acts if act.site in sequence.never]
    _claim(finding, sequence, acts, rest)
    finding.sums += _sums(finding)
    return finding


def _span(sequence: Sequence, rest: list[Act]) -> list[Act]:
    # A create's end, a destroy's begin: what comes before or after belongs to other operations of the same domain.
    if sequence.name in ("pci-attach", "pci-detach"):
        anchor = sequence.steps[-1].sites
        end = next((index for index, act in enumerate(rest) if act.site in anchor), len(rest) - 1)
        return rest[: end + 1]
    if sequence.name == "destroy":
        end = next((index for index, act in enumerate(rest) if act.site == DESTROY), len(rest))
        pauses = [index for index, act in enumerate(rest[:end]) if act.site == ("domctl", "pausedomain")]
        return rest[pauses[-1] if pauses else end :]
    if sequence.name in CREATES:
        ends = (("domctl", "pausedomain"), DESTROY)
        return rest[: next((index for index, act in enumerate(rest) if act.site in ends), len(rest))]
    if sequence.name in ("pause", "unpause"):
        anchor = sequence.steps[0].sites
        return [act for act in rest if act.site in anchor][:1]
    return list(rest)


def _fits(step: Step, act: Act) -> bool:
    return act.site in step.sites and (step.first is None or act.first == step.first)


def _missing(step: Step, count: int, after: str) -> str:
    seen = f" ({count} of {step.least})" if count else ""
    return f"{step.name}{seen} {after}".rstrip()


def _claim(finding: Finding, sequence: Sequence, acts: list[Act], rest: list[Act]) -> None:
    taken = {act.number for act in finding.acts}
    taken |= {act.number for act in acts if act.site in (*sequence.also, *sequence.never)}
    finding.acts += [act for act in acts if act.number in taken and act not in finding.acts]
    finding.acts.sort(key=lambda act: act.number)
    rest[:] = [act for act in rest if act.number not in taken]


def _sums(finding: Finding) -> Iterator[str]:
    if finding.sequence.name not in CREATES:
        return
    claims = [act for act in finding.acts if act.site == ("memory_op", "claim_pages") and not act.error]
    pages = [act.call.number(8, 8) or 0 for act in claims]
    if any(pages) and pages[-1] != 0:
        yield f"claim of {pages[-1]} pages was never given back (claim-pages 0)"
    for begin, end, claimed in zip(claims, claims[1:], pages, strict=False):
        given = _populated(finding.acts, begin.number, end.number)
        if claimed and given != claimed:
            yield f"{given} pages populated for a claim of {claimed}"
    limits = [act.call.number(16, 8) or 0 for act in finding.acts if act.site == ("domctl", "max_mem") and not act.error]
    given = _populated(finding.acts, 0, finding.acts[-1].number + 1)
    if limits and given * 4 > max(limits):
        yield f"{given * 4} KiB populated, above the limit of {max(limits)} KiB (max-mem)"


def _populated(acts: Iterable[Act], begin: int, end: int) -> int:
    site = ("memory_op", "populate_physmap")
    return sum(extents_done(act.done) for act in acts if act.site == site and begin < act.number < end and act.done and not act.done.failed)


def _across(verdict: Verdict) -> None:
    # The two ends of a migration on one host: the new domain runs before the old one is stopped for good.
    sent = [finding for finding in verdict.findings if finding.sequence.name == "migrate"]
    received = [finding for finding in verdict.findings if finding.sequence.name == "restore"]
    for old, new in zip(sent, received, strict=False):
        paused = [act.number for act in old.acts if act.site == ("domctl", "pausedomain")]
        runs = [act.number for act in new.acts if act.site == ("domctl", "unpausedomain")]
        if paused and runs and runs[0] > paused[0]:
            old.sums.append(f"domain {old.life.domain} was paused before domain {new.life.domain} was unpaused")
