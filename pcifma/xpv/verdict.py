"""Verdict, told: the findings of `trace check` as text and as JSON."""

from collections.abc import Iterator

from pcifma.xpv.check import Finding, Verdict
from pcifma.xpv.output import printable

_LISTS = ("missing", "extra", "failed", "sums")


def text(verdict: Verdict) -> Iterator[str]:
    """Yield a line an operation, and below it what differs."""
    for finding in verdict.findings:
        call = finding.life.by
        count = finding.deviations
        outcome = "as expected" if not count else f"{count} deviation{'s' if count > 1 else ''}"
        place = f"by {printable(call.comm)}[{call.tid}] at {finding.acts[0].call.start_ns / 1e9:.6f}" if finding.acts else ""
        yield f"domain {_domain(finding)}: {finding.sequence.title}, {place}: {outcome}"
        for name in _LISTS:
            for sentence in getattr(finding, name):
                yield f"  {name.removesuffix('s') if name == 'sums' else name}: {printable(sentence)}"
    for life, what in verdict.strays:
        yield f"domain {life.domain}: extra, part of no known operation: {printable(what)}"
    for sentence in verdict.trace:
        yield f"trace: {printable(sentence)}"
    if not verdict.findings and not verdict.trace:
        yield "no domain was created, destroyed, paused, saved, migrated, or given a device in this trace"


def _domain(finding: Finding) -> str:
    return "?" if finding.life.domain is None else str(finding.life.domain)


def json(verdict: Verdict) -> Iterator[dict[str, object]]:
    """Yield an `xpv.sequence` object an operation, an `xpv.deviation` for each other difference."""
    for finding in verdict.findings:
        call = finding.life.by
        yield {
            "class": "xpv.sequence",
            "version": 1,
            "sequence": finding.sequence.name,
            "domain": finding.life.domain,
            "comm": printable(call.comm),
            "tid": call.tid,
            "monotonic_us": finding.acts[0].call.start_ns // 1000 if finding.acts else None,
            "calls": len(finding.acts),
            "ok": not finding.deviations,
            **{name: [printable(sentence) for sentence in getattr(finding, name)] for name in _LISTS},
        }
    for life, what in verdict.strays:
        yield {"class": "xpv.deviation", "version": 1, "domain": life.domain, "what": f"part of no known operation: {printable(what)}"}
    for sentence in verdict.trace:
        yield {"class": "xpv.deviation", "version": 1, "domain": None, "what": printable(sentence)}
