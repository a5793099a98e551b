"""The journal's message catalog, for `journalctl -x`: the articles of `pcifma help CODE`, and what the other messages mean."""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.cli.article import Article, about, articles, dictionaries
from pcifma.event.code import message_code, message_id

_OTHERS = {
    "started": (
        "pcifma has begun to look",
        "From now on the registers of this host's PCI Functions are polled. `pcifma status` says which are not.",
    ),
    "blind": (
        "pcifma does not see, or not tell, everything",
        "Functions cannot be read, records of the kernel were lost, the keeper is gone, or a module or the exec hook fails.\n"
        "What is not looked at is not healthy: `pcifma status` and `pcifma config` say what it is.",
    ),
    "wrote": (
        "pcifma has written status bits back to hardware",
        "Only bits that were logged before, in registers that nobody else owns, and because `clear` is allowed.\n"
        "`pcifma writes` lists each, with what stood there before.",
    ),
    "drill": (
        "A drill: nothing is wrong with the hardware",
        "`pcifma drill` has sent a synthetic fault of code @PCIFMA_CODE@ through the daemon. That you read this is what it is for.",
    ),
}


def entries() -> dict[str, tuple[str, str]]:
    """Subject and text by what a MESSAGE_ID stands for: every message code, and started, blind, wrote, drill."""
    known = articles()
    codes = {message_code(name, int(number)): classes for name, rows in dictionaries().items() for number, classes in rows.items()}
    return {**{code: _of(code, about(classes, known)) for code, classes in codes.items()}, **_OTHERS}


def _of(code: str, found: list[Article]) -> tuple[str, str]:
    subject = f"{code}: {' or '.join(article.class_ for article in found)}"
    head = "One of these is so; `pcifma faulty` says how sure that is, and where.\n\n" if len(found) > 1 else ""
    parts = (f"{one.class_}\n{one.what}\nImpact: {one.impact}\nDo: {one.action}\n" for one in found)
    tail = "Case @PCIFMA_UUID@ at @PCIFMA_BDF@ is @PCIFMA_STATE@, urgency @PCIFMA_URGENCY@: pcifma explain @PCIFMA_UUID@"
    return subject, head + "\n".join(parts) + "\n" + tail


def catalog() -> str:
    """The catalog file (systemd.io/CATALOG)."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Generated from pcifma's articles.\n"
    for kind, (subject, text) in entries().items():
        yield f"\n-- {message_id(kind)}\nSubject: {subject}\nDefined-By: pcifma\nDocumentation: man:pcifma(1)\n\n{text}\n"
